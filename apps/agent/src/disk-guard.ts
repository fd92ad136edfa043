import { Semaphore } from '#libs/async';
import { StackWarningEntity, type Database } from '#libs/db';
import { settleAlarms, type Finding, type Queue } from '#libs/jobs';
import {
  askToHold,
  readFacts,
  type FactSettings,
  type Probes,
  type StackFacts,
  type StackSecrets,
} from '#libs/orchestrator';
import type { Logger } from '#libs/telemetry';
import {
  diskWarning,
  settleWarning,
  breakStack,
  isDiskNear,
  isDiskOverrun,
  raiseWarning,
  readStackDisks,
  stackDiskLevel,
  type DiskLevel,
  type DiskUse,
  type StackDisk,
} from '#libs/tenants';
import { brokenByDisk } from './broken.js';

interface GuardDeps {
  dataSource: Database;
  queue: Pick<Queue, 'enqueue'>;
  portalUrl: string;
  probes: Pick<Probes, 'hold'>;
  secrets: Pick<StackSecrets, 'stackKeys'>;
  settings: FactSettings & { engineId: string };
  logger: Logger;
  now: () => Date;
}

type MeasuredDisk = StackDisk & DiskUse;

/** Longer than a runtime takes to answer how far it came. */
const HOLD_MS = 12_000;

/**
 * Keeps each stack below the disk of its plan: a warning for owner and operators, and at 95 % the stack's own runtime is
 * asked to hold its bots and to take nothing new, as long as it is so; far beyond it, it is stopped. Works from what was measured last, so that
 * another plan counts at once, and says it anew each time: a runtime that was away hears of it at its return.
 */
export class DiskGuard {
  private isNear = false;
  private measured: ReadonlyMap<string, number> = new Map();
  /** What was measured and what is due each minute may come at once. */
  private readonly oneByOne = new Semaphore(1);

  constructor(private readonly deps: GuardDeps) {}

  /** Whether a stack is so near its limit that its disk is to be measured more often. */
  get near(): boolean {
    return this.isNear;
  }

  /** Sees at once to what was measured a moment ago (bytes by stack), before it is written. */
  async heed(measured: ReadonlyMap<string, number>, signal?: AbortSignal): Promise<void> {
    this.measured = measured;
    await this.turn(signal);
  }

  /** One stack's trouble keeps no other from it; all of them are named in the error at the end. */
  turn(signal?: AbortSignal): Promise<void> {
    return this.oneByOne.run(() => this.look(signal));
  }

  private async look(signal: AbortSignal | undefined): Promise<void> {
    const { dataSource, settings, now } = this.deps;
    const disks = (await readStackDisks(dataSource, settings.engineId)).flatMap(({ usedBytes, ...disk }) => {
      const bytes = this.measured.get(disk.tenantId) ?? usedBytes;
      return bytes === null ? [] : [{ ...disk, usedBytes: bytes }];
    });
    this.isNear = disks.some((disk) => isDiskNear(disk) || disk.warning !== null);
    const looks = await Promise.allSettled(disks.map((disk) => this.lookAt(disk, signal)));
    await settleAlarms(
      dataSource,
      `stack-disk/${settings.engineId}`,
      { findings: disks.flatMap((disk) => finding(settings.engineId, disk)) },
      now(),
    );
    const failures = looks.flatMap((look, at) =>
      look.status === 'rejected' ? [{ slug: disks[at]?.slug ?? '', error: look.reason as unknown }] : [],
    );
    if (failures.length > 0) {
      throw new AggregateError(
        failures.map(({ error }) => error),
        `The disk of these stacks could not be seen to: ${failures.map(({ slug }) => slug).join(', ')}`,
      );
    }
  }

  private async lookAt(disk: MeasuredDisk, signal: AbortSignal | undefined): Promise<void> {
    const { dataSource, logger, now } = this.deps;
    const { tenantId, slug, warning } = disk;
    if (isDiskOverrun(disk) && (await breakStack(this.deps, tenantId, brokenByDisk(disk), now()))) {
      logger.error({ stack: slug, bytes: disk.usedBytes }, 'the breaker stopped a stack that fills the disk');
    }
    const before = levelOf(disk);
    const level = stackDiskLevel(disk, before);
    if (level === 'ok' && warning === null) {
      return;
    }
    if (level === 'ok' && warning?.holdAskedAt === null) {
      await settleWarning(dataSource, { tenantId, kind: 'disk' }, now());
      logger.info({ stack: slug }, 'a stack has room on its disk again');
      return;
    }
    const said = diskWarning(level, disk);
    const row = await raiseWarning(this.deps, { tenantId, kind: 'disk', tell: level !== 'ok' }, said, now());
    if (row === null) {
      return;
    }
    if (level !== before) {
      logger.warn({ stack: slug, ...said.params }, said.message);
    }
    if (level === 'full') {
      await this.hold(row, Number(said.params['percent']), signal);
    } else if (row.holdAskedAt !== null) {
      await this.release(row, level, signal);
    }
  }

  private async hold(row: StackWarningEntity, percent: number, signal: AbortSignal | undefined): Promise<void> {
    const { dataSource, now } = this.deps;
    const { tenantId } = row;
    if (row.holdAskedAt === null) {
      const noted = await dataSource.manager.update(
        StackWarningEntity,
        { tenantId, kind: 'disk' },
        { holdAskedAt: now() },
      );
      if (noted.affected === 0) {
        // Over since it was read: nobody would ever take such a hold back.
        return;
      }
    }
    const answered = await this.ask(tenantId, percent, signal);
    if (answered && row.heldAt === null) {
      await dataSource.manager.update(StackWarningEntity, { tenantId, kind: 'disk' }, { heldAt: now() });
    }
  }

  private async release(row: StackWarningEntity, level: DiskLevel, signal: AbortSignal | undefined): Promise<void> {
    const { dataSource, now } = this.deps;
    const { tenantId } = row;
    if (!(await this.ask(tenantId, null, signal))) {
      return;
    }
    if (level === 'ok') {
      await settleWarning(dataSource, { tenantId, kind: 'disk' }, now());
    } else {
      const over = { holdAskedAt: null, heldAt: null };
      await dataSource.manager.update(StackWarningEntity, { tenantId, kind: 'disk' }, over);
    }
  }

  /** Whether the runtime heard it. One that does not run, or is being changed, is asked again at the next turn. */
  private async ask(tenantId: string, percent: number | null, signal: AbortSignal | undefined): Promise<boolean> {
    const { dataSource, settings, probes, secrets, logger } = this.deps;
    const facts = await readFacts(dataSource.manager, settings, tenantId);
    if (!facts || !mayRun(facts)) {
      return false;
    }
    const bounds = { deadlineMs: HOLD_MS, ...(signal ? { signal } : {}) };
    const answer = await askToHold({ probes, secrets }, facts, { kind: 'disk', percent }, bounds);
    if (answer === null) {
      logger.warn({ stack: facts.slug }, 'a stack did not answer whether it holds its bots');
    }
    return answer !== null;
  }
}

const mayRun = ({ desired, holds }: StackFacts): boolean => desired === 'running' && holds.length === 0;

function levelOf({ warning }: MeasuredDisk): DiskLevel {
  return warning?.code === 'DISK_FULL' ? 'full' : warning?.code === 'DISK_NEARLY_FULL' ? 'warn' : 'ok';
}

/** For operators; the same words as the owner's, as of this turn. */
function finding(engineId: string, disk: MeasuredDisk): Finding[] {
  const level = stackDiskLevel(disk, levelOf(disk));
  if (level === 'ok') {
    return [];
  }
  const { message, params } = diskWarning(level, disk);
  return [
    {
      key: `stack-disk/${engineId}/${disk.slug}`,
      code: 'STACK_DISK',
      severity: level === 'full' ? 'critical' : 'warning',
      message: `${disk.slug}: ${message}`,
      params: { ...params, stack: disk.slug },
    },
  ];
}
