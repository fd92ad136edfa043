import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { waitFor } from '#libs/async';
import { pidOf } from '../engine.js';
import { commandOf } from '../faults/restic-at-door.js';
import type { TestPlatform } from '../platform.js';
import { VOLUME_MADE, type FaultPoint, type ResticCall } from './points.js';

/** A call that goes on no further, and with it the operation. */
export interface HeldCall {
  /** Lets it go on, once; `answered`: whether who made it still hears from the engine. */
  goOn(answered: boolean): void;
}

export interface HeldStack {
  id: string;
  slug: string;
  /** Where its repository lies. */
  repository: string;
}

/** A restic that reads little is over after some milliseconds of work. */
const LOOK_EVERY_MS = 5;
/** What a restic gave out, once it is in the middle of its data and past its words about itself. */
const GIVEN_BYTES = 1024 ** 2;
const COMING_MS = 180_000;

/**
 * Holds the next such call of the agent for that stack: of the engine the answer to an executed call is kept back, a restic
 * stands still by SIGSTOP. One of the engine is waited for until the door holds nothing any more, a restic for three
 * minutes or until the signal.
 */
export async function holdNext(
  platform: TestPlatform,
  stack: HeldStack,
  { operation, phase, call }: FaultPoint,
  givenUp: AbortSignal,
): Promise<HeldCall> {
  const { door } = platform;
  const from = door.calls.length;
  const general = (step: string): string => step.replace(`aviary-${platform.facts.prefix}-${stack.slug}`, '');
  // The safety backup of a restore makes calls of the same kinds before it loads.
  const isThere = (): boolean =>
    operation !== 'restore' ||
    phase !== 'load' ||
    call === VOLUME_MADE ||
    door.calls.slice(from).some(({ step }) => VOLUME_MADE.step.test(general(step)));
  if (call.kind === 'engine') {
    const held = await door.holdAnswer((step) => call.step.test(general(step)) && isThere());
    return once((answered) => (answered ? held.release() : held.drop()));
  }
  const agent = await pidOf(platform.container('agent'));
  const pid = await waitFor(() => (isThere() ? stopped(agent, stack, call) : undefined), {
    what: `${call.what} for ${stack.slug}`,
    deadlineMs: COMING_MS,
    intervalMs: LOOK_EVERY_MS,
    maxIntervalMs: LOOK_EVERY_MS,
    signal: givenUp,
  });
  return once(() => signal(pid, 'SIGCONT'));
}

/** By then another may have the connection, or the number of the process. */
function once(goOn: HeldCall['goOn']): HeldCall {
  let goes = false;
  return {
    goOn: (answered) => {
      if (!goes) {
        goes = true;
        goOn(answered);
      }
    },
  };
}

/** The process of that call, once it is where it is to be and stands still. */
function stopped(agent: number, stack: HeldStack, call: ResticCall): number | undefined {
  const pid = family(agent).find((one) => isRestic(one, stack, call));
  if (pid === undefined || (call.moment === 'works' && !works(pid, stack, call))) {
    return undefined;
  }
  signal(pid, 'SIGSTOP');
  // Of all its threads, which may take a moment: then it is found again.
  return ofProcess(`/proc/${pid}/stat`).split(') ')[1]?.startsWith('T') === true ? pid : undefined;
}

function isRestic(pid: number, { id }: HeldStack, { command }: ResticCall): boolean {
  const [program = '', ...args] = ofProcess(`/proc/${pid}/cmdline`).split('\0');
  return basename(program) === 'restic' && args.some((word) => word.endsWith(`/${id}`)) && commandOf(args) === command;
}

/** It has its lock, which nobody else takes in that repository; one that takes none has given out data. */
function works(pid: number, { repository }: HeldStack, { command }: ResticCall): boolean {
  if (command === 'dump') {
    return Number(/^wchar: (\d+)$/m.exec(ofProcess(`/proc/${pid}/io`))?.[1]) > GIVEN_BYTES;
  }
  return readdirSync(join(repository, 'locks')).some((name) => !name.includes('-tmp-'));
}

/** All processes below that one, by their numbers on this machine. */
function family(pid: number): number[] {
  const children = entriesOf(`/proc/${pid}/task`).flatMap((thread) =>
    ofProcess(`/proc/${pid}/task/${thread}/children`).split(' ').filter(Boolean).map(Number),
  );
  return children.flatMap((child) => [child, ...family(child)]);
}

function signal(pid: number, name: 'SIGSTOP' | 'SIGCONT'): void {
  gone<void>(() => void process.kill(pid, name), undefined);
}

const ofProcess = (path: string): string => gone(() => readFileSync(path, 'utf8'), '');
const entriesOf = (path: string): string[] => gone(() => readdirSync(path), []);

/** Of a process that has ended: what it is instead. */
function gone<T>(look: () => T, instead: T): T {
  try {
    return look();
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) {
      return instead;
    }
    throw error;
  }
}
