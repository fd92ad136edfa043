import { StringDecoder } from 'node:string_decoder';
import type { LogLine } from '../watch-port.js';

const HEADER_BYTES = 8;
/** A message of this many bytes without a newline is a part of a line. */
const FULL_BYTES = 16 * 1024;
/** A line is cut here: one without an end must not fill the memory of whoever reads it. */
export const LONGEST_LINE = 64 * 1024;

interface Open {
  decoder: StringDecoder;
  at: string;
  text: string;
}

/**
 * Lines of a log that is being followed, from chunks that end anywhere. The engine frames each message
 * `[stream, 0, 0, 0, length as 32-bit big endian]` + `<time> <text>`; a line longer than 16 KiB comes as several
 * messages, each with its own time. All but the last are full; the last may come with the line's end or without.
 */
export class LogFrames {
  private rest: Buffer = Buffer.alloc(0);
  private readonly open = new Map<number, Open>();

  /** The lines that ended in this chunk, in the order of their ends. */
  push(chunk: Buffer): LogLine[] {
    const lines: LogLine[] = [];
    let buffer = this.rest.length > 0 ? Buffer.concat([this.rest, chunk]) : chunk;
    while (buffer.length >= HEADER_BYTES) {
      const end = HEADER_BYTES + buffer.readUInt32BE(4);
      if (buffer.length < end) {
        break;
      }
      this.message(buffer[0] ?? 1, buffer.subarray(HEADER_BYTES, end), lines);
      buffer = buffer.subarray(end);
    }
    this.rest = buffer;
    return lines;
  }

  private message(stream: number, payload: Buffer, lines: LogLine[]): void {
    const space = payload.indexOf(0x20);
    const at = payload.subarray(0, space).toString('latin1');
    const open = this.open.get(stream) ?? { decoder: new StringDecoder('utf8'), at, text: '' };
    const part = payload.subarray(space + 1);
    open.text += open.decoder.write(part);
    if (!open.text.endsWith('\n') && part.length >= FULL_BYTES && open.text.length < LONGEST_LINE) {
      this.open.set(stream, open);
      return;
    }
    this.open.delete(stream);
    lines.push({
      at: open.at,
      stream: stream === 2 ? 'err' : 'out',
      text: open.text.replace(/\r?\n$/, '').slice(0, LONGEST_LINE),
    });
  }
}
