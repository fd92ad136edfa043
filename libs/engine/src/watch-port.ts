/**
 * Looking at what runs, beside the port that changes things. Nothing here inspects or runs a process per container
 * (an exec costs each of them some per cent of a core), and streams of figures are not asked for at all: what
 * containers use is read from control groups.
 */
import type { Bounds } from '#libs/async';
import type { Labels, Owner } from './port.js';

export interface RunningContainer {
  id: string;
  name: string;
  labels: Labels;
  /** Whether a network it is on leads anywhere. The engine gives internal ones a default route all the same. */
  outward: boolean;
}

/** Bytes on disk of one volume, or of what a container wrote beside its volumes. */
export interface DiskUse {
  kind: 'volume' | 'container';
  name: string;
  labels: Labels;
  bytes: number;
}

export interface LogLine {
  /** RFC 3339 with nanoseconds, of the engine's clock. */
  at: string;
  stream: 'out' | 'err';
  /** Without its end; what is longer than 64 KiB is cut. */
  text: string;
}

export interface LogWish {
  /** That many of the last lines first. */
  tail: number;
  /** Nothing up to and including this time. */
  after?: string;
  /** Go on with what is written from now on, until the process ends. */
  follow: boolean;
}

/** Throws DomainError only, as `Engine` does. */
export interface EngineWatch {
  /** The owner's containers that have a process: two calls to the engine, however many they are. */
  running(owner: Owner, bounds: Bounds): Promise<RunningContainer[]>;
  /**
   * The engine walks every volume it has, whosever they are: a matter of seconds of its disk, so minutes apart. What
   * it could not measure is left out.
   */
  diskUse(owner: Owner, bounds: Bounds): Promise<DiskUse[]>;
  /**
   * Lines of a container's log, read no faster than they are taken. Throws NOT_FOUND where there is no such container
   * or its labels do not name this owner.
   */
  log(container: string, owner: Owner, wish: LogWish, signal: AbortSignal): AsyncIterable<LogLine>;
}
