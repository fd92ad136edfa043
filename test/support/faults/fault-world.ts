import { Not } from 'typeorm';
import { waitFor } from '#libs/async';
import { BackupEntity, OperationEntity, OperationStepEntity, PlanEntity } from '#libs/db';
import { BackupWorld, RESTIC, type BackedUpStack } from '../backup-world.js';
import { Door, type Moment, type Point } from './door.js';
import { expectedOf, findings, type Expected } from './findings.js';
import { MortalAgents } from './mortal-agents.js';
import type { FaultOperation } from './operations.js';
import { ResticAtDoor } from './restic-at-door.js';

/** What became of a stack whose agent was killed at a point. */
export interface Outcome {
  operation: FaultOperation;
  point: Point;
  /** What is not as it should be; none where the point held. */
  findings: string[];
  seconds: number;
}

const LONGEST_MS = 90_000;
const DAY_MS = 86_400_000;
/** Each restore leaves the data before it until the next good backup. */
const RESTORES_AT_MOST = 8;

/**
 * A stack whose agents are killed: its engine in memory and its streams lie here and outlive them, its database and
 * restic are real. Each life of an agent is a process of its own, and with it go all that it started and its folder in
 * memory, as with a container.
 */
export class FaultWorld {
  private readonly door: Door;
  private restores = 0;
  private rows = 1_000_000;
  /** The backup that is put back again and again. */
  private baseline: { backup: string; data: string } | null = null;

  private constructor(
    private readonly parts: {
      world: BackupWorld;
      door: Door;
      stack: BackedUpStack;
      agents: MortalAgents;
      restic: ResticAtDoor;
    },
  ) {
    this.door = parts.door;
  }

  /** A stack with one verified backup, and an agent that waits for work. */
  static async start(): Promise<FaultWorld> {
    const world = await BackupWorld.start();
    const door = new Door();
    await world.world.database.dataSource.manager
      .createQueryBuilder()
      .update(PlanEntity)
      .set({ keepDaily: 1, keepWeekly: 0, keepMonthly: 0 })
      .execute();
    const stack = await world.stack();
    const repository = world.folderOf(stack.id);
    const restic = await ResticAtDoor.make({ door, restic: RESTIC, home: world.home, repository });
    const agents = await MortalAgents.around({ world, door, stack, restic: restic.binary });
    const faults = new FaultWorld({ world, door, stack, agents, restic });
    const { backup } = await world.backUp(stack);
    if (backup?.state !== 'verified') {
      throw new Error(`the first backup is ${backup?.state}: ${JSON.stringify(backup?.error)}`);
    }
    await agents.live();
    return faults;
  }

  /** Every point of the operation, as one that nothing happens to passes them. */
  async points(operation: FaultOperation): Promise<Point[]> {
    await this.prepare(operation);
    this.door.disarm();
    const row = await this.ended(await this.ask(operation));
    const steps = [...this.door.steps];
    if (row.state !== 'done') {
      throw new Error(`undisturbed, the ${operation} ended ${row.state}: ${JSON.stringify(row.error)}`);
    }
    const proving = await this.db().findOneBy(OperationStepEntity, { operationId: row.id, phase: 'prove' });
    const proofAt = proving?.startedAt?.getTime() ?? 0;
    return steps.flatMap(({ name: step, at }, index) => {
      const nth = steps.slice(0, index + 1).filter(({ name }) => name === step).length;
      const proves = at >= proofAt;
      const mine = operation === 'backup' ? !proves : operation === 'verify' ? proves : true;
      return mine ? momentsOf(step).map((moment) => ({ step, nth, moment })) : [];
    });
  }

  /** Kills the agent there, has the next one take over, and says what is not as it should be then. */
  async outcome(operation: FaultOperation, point: Point): Promise<Outcome> {
    const began = performance.now();
    await this.prepare(operation);
    const { world, stack, agents } = this.parts;
    const before = await expectedOf(world, stack);
    const sprung = this.door.arm(point);
    const id = await this.ask(operation);
    const met = await Promise.race([sprung.then(() => true), this.ended(id).then(() => false)]);
    if (met) {
      await agents.kill();
      this.door.disarm();
      await agents.live();
    }
    const row = await this.ended(id);
    const expected: Expected =
      operation === 'restore' && this.baseline ? { ...before, data: this.baseline.data, restored: true } : before;
    const found = await findings(
      { world, stack, operation: row, secretDir: agents.secretDir, cacheDir: agents.cacheDir },
      expected,
    );
    return {
      operation,
      point,
      findings: [...(met ? [] : ['the operation ended before that call']), ...found],
      seconds: (performance.now() - began) / 1_000,
    };
  }

  /** The same; a point that could not be gone through to its end did not hold either. */
  async tried(operation: FaultOperation, point: Point): Promise<Outcome> {
    const began = performance.now();
    try {
      return await this.outcome(operation, point);
    } catch (error) {
      const seconds = (performance.now() - began) / 1_000;
      return { operation, point, findings: [error instanceof Error ? error.message : String(error)], seconds };
    }
  }

  async close(): Promise<void> {
    await this.parts.agents.close();
    await this.parts.restic.close();
    await this.parts.world.close();
  }

  private db() {
    return this.parts.world.world.database.dataSource.manager;
  }

  /** What makes the operation have something to do. */
  private async prepare(operation: FaultOperation): Promise<void> {
    const { world, stack } = this.parts;
    this.door.disarm();
    const restores = operation === 'restore';
    if (operation === 'prune' || (restores && (this.baseline === null || this.restores >= RESTORES_AT_MOST))) {
      await this.done(await world.ask(stack, 'backup'));
      this.restores = 0;
      const backup = await this.newest();
      this.baseline = { backup: backup.id, data: (await expectedOf(world, stack)).data };
    }
    if (operation === 'prune') {
      const newest = await this.newest();
      const then = new Date(newest.begunAt.getTime() - 5 * DAY_MS);
      await this.db().update(
        BackupEntity,
        { tenantId: stack.id, id: Not(newest.id) },
        { takenAt: then, begunAt: then },
      );
      return;
    }
    this.restores += restores ? 1 : 0;
    this.rows += 1;
    await world.databases.sql(stack.postgres, `insert into fills values (${this.rows}, 1.5)`);
  }

  private newest(): Promise<BackupEntity> {
    return this.db().findOneOrFail(BackupEntity, {
      where: { tenantId: this.parts.stack.id },
      order: { begunAt: 'DESC' },
    });
  }

  private ask(operation: FaultOperation): Promise<string> {
    const { world, stack } = this.parts;
    if (operation === 'restore') {
      return world.ask(stack, 'restore', { backup: this.baseline?.backup ?? '' });
    }
    return world.ask(stack, operation === 'prune' ? 'prune' : 'backup');
  }

  private async done(operationId: string): Promise<void> {
    const { kind, state, error } = await this.ended(operationId);
    if (state !== 'done') {
      throw new Error(`a ${kind} between two points ended ${state}: ${JSON.stringify(error)}`);
    }
  }

  private ended(id: string): Promise<OperationEntity> {
    return waitFor(
      async () => {
        const row = await this.db().findOneByOrFail(OperationEntity, { id });
        return ['queued', 'running'].includes(row.state) ? undefined : row;
      },
      { what: `the end of operation ${id}`, deadlineMs: LONGEST_MS, maxIntervalMs: 50 },
    );
  }
}

const momentsOf = (step: string): Moment[] =>
  step.startsWith('restic ') ? ['before', 'during', 'after'] : ['before', 'after'];
