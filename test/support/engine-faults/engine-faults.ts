import { setTimeout as pause } from 'node:timers/promises';
import { killEngine, killProcess, startEngine } from '../engine.js';
import type { FaultOperation } from '../faults/operations.js';
import type { TestPlatform } from '../platform.js';
import type { PortalClient } from '../portal-client.js';
import { FaultedStack, type Before, type Ended } from './faulted-stack.js';
import { holdNext, type HeldCall } from './hold.js';
import { begun, goesThroughEngine, pointOf, toldPoint, type EngineFault, type FaultPoint } from './points.js';
import type { SmallDisk } from './small-disk.js';

/** Of the platform: what a dead agent held is soon free again, and repositories lie on a disk that can be filled. */
export const faultSettings = ({ backups }: SmallDisk): Readonly<Record<string, string>> => ({
  AVIARY_LEASE_SECONDS: '2',
  AVIARY_BACKUP_URL: backups,
});

/** What became of a point. */
export interface EngineOutcome {
  point: FaultPoint;
  /** How often the operation was begun until it was held at its call. */
  tries: number;
  /** Of all that were met by that fault at once. */
  seconds: number;
  /** What is not as it should be; none where the point held. */
  findings: string[];
}

/**
 * What one fault meets at once, each on a stack of its own; the one that takes longer to come to its point first. An agent
 * works on two operations of backups and prunes at a time, and on two restores beside them, so not all four.
 */
export const FAULT_ROUNDS: readonly (readonly FaultOperation[])[] = [
  ['restore', 'backup'],
  ['verify', 'prune'],
];

/** An operation that stands still at its point. */
interface Met {
  point: FaultPoint;
  stack: FaultedStack;
  operationId: string;
  before: Before;
  held: HeldCall;
  tries: number;
}

/** What the fault met, and how it ended. */
interface Struck extends Met {
  /** Just before the fault. */
  phaseState: string;
  ended: Ended;
}

const AWAY_MS = 2_000;
/** A restic may be over before it is seen at its work; then it is met as soon as it has begun. */
const MOST_TRIES = 3;
const NO_ROOM = /no space left on device/i;

/**
 * Two stacks on a real engine, whose operations of backups are each brought to a call and held there; then the agent or
 * the engine is killed, or the repositories' disk is full. So what a fault meets is known, however fast the machine is.
 */
export class EngineFaults {
  private constructor(
    private readonly platform: TestPlatform,
    private readonly disk: SmallDisk,
    private readonly stacks: Record<FaultOperation, FaultedStack>,
  ) {}

  /** On a platform with `faultSettings`. The rounds in turn leave each other what there is to prune and to restore. */
  static async make(platform: TestPlatform, disk: SmallDisk, operator: PortalClient): Promise<EngineFaults> {
    await platform.sql('update plans set keep_daily = 1, keep_weekly = 0, keep_monthly = 0');
    const where = { platform, operator, backups: disk.backups };
    const [one, other] = await Promise.all([FaultedStack.make(where, 'faults1'), FaultedStack.make(where, 'faults2')]);
    return new EngineFaults(platform, disk, { backup: one, prune: one, restore: other, verify: other });
  }

  /** One point of each of these operations, chosen by the seed, all met by the fault at once; `nth` counts those of a run. */
  async round(
    fault: EngineFault,
    operations: readonly FaultOperation[],
    { seed, nth }: { seed: number; nth: number },
  ): Promise<EngineOutcome[]> {
    const began = performance.now();
    const points = operations.map((operation) => pointOf(operation, fault, { seed, nth }));
    let outcomes: Omit<EngineOutcome, 'seconds'>[];
    try {
      const struck = await this.struck(fault, points);
      outcomes = await Promise.all(struck.map(outcomeOf));
    } catch (error) {
      // What could not be gone through to its end did not hold either.
      const findings = [error instanceof Error ? error.message : String(error)];
      outcomes = points.map((point) => ({ point, tries: 0, findings }));
    }
    const seconds = (performance.now() - began) / 1_000;
    return outcomes.map((outcome) => ({ ...outcome, seconds }));
  }

  /** Resolves once the fault is over and what it met has ended. */
  private async struck(fault: EngineFault, points: readonly FaultPoint[]): Promise<Struck[]> {
    this.platform.door.calls.length = 0;
    const all: Met[] = [];
    let undo = (): Promise<void> => Promise.resolve();
    try {
      for (const point of points) {
        all.push(await this.brought(point));
      }
      const states = await Promise.all(
        all.map(({ stack, operationId, point }) => stack.stepState(operationId, point.phase)),
      );
      undo = await this.strike(fault, all);
      return await Promise.all(
        all.map(async (met, at) => ({
          ...met,
          phaseState: states[at] ?? '',
          ended: await met.stack.over(met.operationId),
        })),
      );
    } finally {
      // What a failure before the fault left there.
      all.forEach(({ held }) => held.goOn(false));
      await undo();
    }
  }

  /** Asks for the operation and has it come to its point, where it stands still. */
  private async brought(wanted: FaultPoint): Promise<Met> {
    const stack = this.stacks[wanted.operation];
    for (let tries = 1; tries <= MOST_TRIES; tries += 1) {
      const point = tries === 1 ? wanted : begun(wanted);
      const before = await stack.prepare(point.operation, tries > 1);
      const over = new AbortController();
      try {
        const held = holdNext(this.platform, stack, point, over.signal);
        // What it fails of is told where it is waited for.
        held.catch(() => undefined);
        const operationId = await stack.ask(point.operation);
        const first = await Promise.race([held, stack.over(operationId, over.signal)]);
        if ('goOn' in first) {
          return { point, stack, operationId, before, held: first, tries };
        }
        if (first.state !== 'done') {
          throw new Error(`${toldPoint(point)}: nothing happened to it, and it ended ${first.state}: ${first.error}`);
        }
        await stack.settled(point.operation, before);
      } finally {
        over.abort(new Error('it is held, or over'));
        this.platform.door.holdNothing();
      }
    }
    throw new Error(`${toldPoint(wanted)}: over before it was met, ${MOST_TRIES} times`);
  }

  /** Makes it, lets what stands still go on, and gives what undoes it. */
  private async strike(fault: EngineFault, met: readonly Met[]): Promise<() => Promise<void>> {
    const goOn = (answered: boolean): void => met.forEach(({ held }) => held.goOn(answered));
    const nothing = (): Promise<void> => Promise.resolve();
    switch (fault) {
      case 'agent':
        await killProcess(this.platform.container('agent'));
        goOn(false);
        return nothing;
      case 'engine':
        await killEngine();
        goOn(false);
        await pause(AWAY_MS);
        await startEngine();
        return nothing;
      case 'disk': {
        const undo = await this.disk.fill();
        goOn(true);
        return undo;
      }
    }
  }
}

/** What failed for want of room is asked for once more, now that there is some; then all has to be well. */
async function outcomeOf(struck: Struck): Promise<Omit<EngineOutcome, 'seconds'>> {
  const { point, stack, before, tries, ended } = struck;
  const again = point.fault === 'disk' && ended.state === 'failed';
  const last = again ? await stack.over(await stack.ask(point.operation)) : ended;
  const findings = [...unmet(struck), ...(await stack.findings(point.operation, last, before))];
  await stack.settled(point.operation, before);
  return { point, tries, findings };
}

/** That the fault did not meet the operation at work, or that it was not felt where it has to be. */
function unmet({ point, phaseState, ended: { state, error, attempts } }: Struck): string[] {
  const found = phaseState === 'running' ? [] : [`${point.phase} was not under way: ${phaseState}`];
  if (point.fault === 'disk') {
    const noRoom = state === 'failed' && NO_ROOM.test(error);
    return noRoom ? found : [...found, `a full disk did not end it: ${state} ${error}`];
  }
  const begunAnew = point.fault === 'agent' || goesThroughEngine(point);
  return begunAnew && attempts < 2 ? [...found, 'it was not begun anew'] : found;
}

export const toldOutcome = ({ point, tries, seconds, findings }: EngineOutcome): string =>
  `${findings.length === 0 ? '✓' : '✗'} ${toldPoint(point)}, ${Math.round(seconds)} s` +
  (tries < 2 ? '' : `, met at the ${tries}. try`) +
  findings.map((finding) => `\n    ${finding}`).join('');
