import { randomOf } from '#libs/trading';
import type { FaultOperation } from '../faults/operations.js';

/** `agent`: it is killed. `engine`: it is killed, and back after a while. `disk`: that of the repositories is full. */
export const ENGINE_FAULTS = ['agent', 'engine', 'disk'] as const;
export type EngineFault = (typeof ENGINE_FAULTS)[number];

/** A call of the agent for an operation, in which it is held: it has begun, and its end is not known yet. */
export type Call = EngineCall | ResticCall;

interface EngineCall {
  kind: 'engine';
  what: string;
  /** Method, path and name as the tests' door of the engine tells them, without the stack's part of the name. */
  step: RegExp;
}

export interface ResticCall {
  kind: 'restic';
  what: string;
  command: 'backup' | 'check' | 'dump' | 'forget' | 'snapshots' | 'unlock';
  /** `begun`: it has its password and has done nothing yet. `works`: it holds its lock, or has given out data. */
  moment: 'begun' | 'works';
}

/** Where one fault meets one operation. */
export interface FaultPoint {
  operation: FaultOperation;
  fault: EngineFault;
  /** Of the operation, in which that call is made. */
  phase: string;
  call: Call;
}

const engine = (what: string, step: RegExp): EngineCall => ({ kind: 'engine', what, step });
const restic = (command: ResticCall['command'], moment: ResticCall['moment'] = 'begun'): ResticCall => ({
  kind: 'restic',
  what: `restic ${command} ${moment}`,
  command,
  moment,
});

const SPOKEN_TO = engine('the database spoken to', /^POST \/containers\/-postgres\/exec$/);
const MADE = engine('a server for the data made', /^POST \/containers\/create -scratch$/);
const STARTED = engine('that server started', /^POST \/containers\/-scratch\/start$/);
const LOADED_BY = engine('that server spoken to', /^POST \/containers\/-scratch\/exec$/);
const STOPPED = engine('that server stopped', /^POST \/containers\/-scratch\/stop$/);
const REMOVED = engine('that server removed', /^DELETE \/containers\/-scratch$/);
/** The first of a load, and of nothing before it in the same operation. */
export const VOLUME_MADE = engine('a volume for the data made', /^POST \/volumes\/create -data-\d+$/);

const CALLS: Record<FaultOperation, { phase: string; calls: readonly Call[] }> = {
  backup: { phase: 'dump', calls: [SPOKEN_TO, restic('backup'), restic('backup', 'works')] },
  verify: {
    phase: 'prove',
    calls: [
      MADE,
      STARTED,
      LOADED_BY,
      restic('dump'),
      restic('dump', 'works'),
      REMOVED,
      restic('check'),
      restic('check', 'works'),
    ],
  },
  prune: {
    phase: 'prune',
    calls: [restic('snapshots'), restic('unlock'), restic('forget'), restic('forget', 'works')],
  },
  // Its own part is behind its safety backup.
  restore: {
    phase: 'load',
    calls: [VOLUME_MADE, MADE, STARTED, LOADED_BY, restic('dump'), restic('dump', 'works'), STOPPED, REMOVED],
  },
};

/** Those after which something has still to be written where no room is: a full disk hinders nothing else. */
const BEFORE_WRITING: Record<FaultOperation, { phase: string; calls: readonly Call[] }> = {
  backup: CALLS.backup,
  verify: {
    phase: 'prove',
    calls: [MADE, STARTED, LOADED_BY, restic('dump'), restic('dump', 'works'), REMOVED, restic('check')],
  },
  prune: { phase: 'prune', calls: [restic('snapshots'), restic('unlock'), restic('forget')] },
  // Loading only reads the repository.
  restore: {
    phase: 'safeguard',
    calls: [SPOKEN_TO, restic('backup'), restic('backup', 'works'), MADE, STARTED, restic('dump')],
  },
};

/** Every point of it there is. */
export function pointsOf(operation: FaultOperation, fault: EngineFault): FaultPoint[] {
  const { phase, calls } = (fault === 'disk' ? BEFORE_WRITING : CALLS)[operation];
  return calls.map((call) => ({ operation, fault, phase, call }));
}

/** The one that the seed names; `nth` counts those of one run. */
export function pointOf(
  operation: FaultOperation,
  fault: EngineFault,
  { seed, nth }: { seed: number; nth: number },
): FaultPoint {
  const points = pointsOf(operation, fault);
  const point = points[Math.floor(randomOf(seed, `${operation} ${fault} ${nth}`) * points.length)];
  if (!point) {
    throw new Error(`there is no point of ${operation} and ${fault}`);
  }
  return point;
}

/** The same call, met as soon as it has begun. */
export function begun(point: FaultPoint): FaultPoint {
  return point.call.kind === 'restic' ? { ...point, call: restic(point.call.command) } : point;
}

/** Whether the engine has a part in the call, so that it breaks with the engine. */
export function goesThroughEngine({ call }: FaultPoint): boolean {
  return call.kind === 'engine' || call.command === 'backup' || call.command === 'dump';
}

export const toldPoint = ({ operation, fault, call }: FaultPoint): string => `${operation}, ${fault}, ${call.what}`;
