/**
 * Bytes into and out of containers, beside the port that changes things: dumps, restores and archives of gigabytes,
 * which are never held in memory. Every stream goes at the pace of its slower end.
 */
import type { Readable, Writable } from 'node:stream';
import { DomainError } from '#libs/contracts';
import type { Owner } from './port.js';

export interface ExecWish {
  /** Program and arguments; holds no secret, since everybody on the host reads it. */
  command: readonly string[];
  /** `uid:gid`. */
  user: string;
  /** Beside what the container has; holds no secret either. */
  environment?: Readonly<Record<string, string>>;
}

export interface ExecEnd {
  exitCode: number;
  /** The end of what it wrote to its standard error, at most 4 KiB. */
  said: string;
}

export interface ExecStreams {
  /**
   * Standard input; to be ended by who writes it. Breaks where the process ends before it has read all of it. Where the
   * connection breaks, or its writer does, the process sees an end like any other: what it loads must be able to tell.
   */
  input: Writable;
  /**
   * Standard output. The engine cannot end a process: one whose stream is cut or cancelled runs on to its own end, and
   * what it writes goes nowhere. Each chunk's memory is the reader's alone, to be given back (`release` in `libs/async`).
   */
  output: Readable;
  /**
   * Once the process ended and its output was taken. Rejects where the connection broke before: ENGINE_UNREACHABLE, or
   * as the signal has it (OPERATION_CANCELLED).
   */
  ended: Promise<ExecEnd>;
}

export interface TarFilling {
  folder: string;
  tar: Readable;
}

/**
 * Throws DomainError only, as `Engine` does; NOT_FOUND where there is no such container, or it is not that owner's.
 * The signal reaches from the call to the end of its streams.
 */
export interface EngineStreams {
  /** Starts a process in a container that runs; ENGINE_CONFLICT in one that does not. */
  exec(container: string, owner: Owner, wish: ExecWish, signal: AbortSignal): Promise<ExecStreams>;
  /**
   * What is in a folder of a container, which need not run, as a tar whose entries begin with `./`. The stream fails
   * where it is not all of it. ENGINE_REFUSED where there is no such folder.
   */
  pack(container: string, owner: Owner, folder: string, signal: AbortSignal): Promise<Readable>;
  /**
   * Unpacks such a tar into a folder of a container that was made and does not run (WRONG_STATE). A tar that breaks off
   * is an error; what came before lies there then. The folder's own owner and mode stay as they are.
   */
  unpack(container: string, owner: Owner, filling: TarFilling, signal: AbortSignal): Promise<void>;
}

/** Nothing is unpacked below a process that works there. */
export function running(container: string): DomainError {
  return new DomainError('WRONG_STATE', { message: `${container} runs; it is filled only while it does not.` });
}
