import { Buffer } from 'node:buffer';
import type { Socket } from 'node:net';
import type { ErrorCode } from '#libs/contracts';
import type { EngineEvent, Owner } from '../port.js';
import type { EngineMethod } from './call-log.js';

/** One JSON object a line, both ways. */
export type Request =
  | { id: number; method: EngineMethod; args: unknown[]; deadlineMs: number }
  | { id: number; follow: Owner }
  | { id: number; abort: true };

export type Response =
  | { id: number; ok: true; value: unknown }
  | { id: number; ok: true; event: EngineEvent }
  | { id: number; ok: false; code: ErrorCode; message: string; details: Record<string, unknown> };

export function send(socket: Socket, message: Request | Response): void {
  socket.write(`${JSON.stringify(message)}\n`);
}

/** Calls `each` for every complete line; a line cut by the death of the other side is dropped. */
export function receive<T>(socket: Socket, each: (message: T) => void): void {
  let rest = '';
  socket.setEncoding('utf8');
  socket.on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      each(JSON.parse(line, reviveBuffers) as T);
    }
  });
}

/** Buffers travel as their own toJSON writes them. */
function reviveBuffers(_key: string, value: unknown): unknown {
  const candidate = value as { type?: unknown; data?: unknown } | null;
  return candidate?.type === 'Buffer' && Array.isArray(candidate.data)
    ? Buffer.from(candidate.data as number[])
    : value;
}
