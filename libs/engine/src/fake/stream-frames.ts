import { Transform, type TransformCallback } from 'node:stream';
import type { Owner } from '../port.js';
import type { ExecWish } from '../stream-port.js';

/** What is asked for over a connection: one stream each. */
export type StreamWish = { container: string; owner: Owner } & (
  { call: 'exec'; wish: ExecWish } | { call: 'pack'; folder: string } | { call: 'unpack'; folder: string }
);

const KINDS = ['wish', 'begun', 'data', 'end', 'error'] as const;
type FrameKind = (typeof KINDS)[number];

/** `wish`, `end` (of a process: how it ended) and `error` carry JSON, `data` bytes. */
export interface Frame {
  kind: FrameKind;
  body: Buffer;
}

/** Its kind in a byte, then the length of its body in four. */
const HEAD = 5;

export function frame(kind: 'data', body: Buffer): Buffer;
export function frame(kind: Exclude<FrameKind, 'data'>, body?: unknown): Buffer;
export function frame(kind: FrameKind, body?: unknown): Buffer {
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body ?? null));
  const head = Buffer.alloc(HEAD);
  head.writeUInt8(KINDS.indexOf(kind));
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

/** Bytes in, frames out; one that is cut off by the death of the other side is dropped. */
export class Frames extends Transform {
  private rest: Buffer = Buffer.alloc(0);

  constructor() {
    super({ readableObjectMode: true, readableHighWaterMark: 4 });
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    this.rest = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk]);
    while (this.rest.length >= HEAD) {
      const end = HEAD + this.rest.readUInt32BE(1);
      const kind = KINDS[this.rest.readUInt8()];
      if (kind === undefined || this.rest.length < end) {
        break;
      }
      // A copy: its reader may give its memory back.
      this.push({ kind, body: Buffer.from(this.rest.subarray(HEAD, end)) } satisfies Frame);
      this.rest = this.rest.subarray(end);
    }
    callback();
  }
}
