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
  hostDiskAlarm,
  hostDiskWarning,
  isDiskNear,
  isDiskOverrun,
  isHostFull,
  raiseWarning,
  readStackDisks,
  stackDiskLevel,
  type DiskLevel,
  type DiskUse,
  type HostDisk,
  type StackDisk,
  type Warning,
} from '#libs/tenants';
import { brokenByDisk } from './broken.js';

interface GuardDeps {
  dataSource: Database;
  queue: Pick<Queue, 'enqueue'>;
  portalUrl: string;
  probes: Pick<Probes, 'hold'>;
  secrets: Pick<StackSecrets, 'stackKeys'>;
  settings: FactSettings & { engineId: string };
  /** The disk that all stacks share, as it is now. */
  hostDisk: () => Promise<HostDisk>;
  logger: Logger;
  now: () => Date;
}

/** `host`: the disk of all, where that is full and concerns this stack. */
type MeasuredDisk = StackDisk & DiskUse & { host: HostDisk | null };

/** Longer than a runtime takes to answer how far it came. */
const HOLD_MS = 12_000;
/** Of a full host all stacks are asked, each by a few statements and a request. */
const AT_ONCE = 16;

/**
 * Keeps each stack below the disk of its plan: a warning for owner and operators, and at 95 % the stack's own runtime is
 * asked to hold its bots and to take nothing new, as long as it is so; far beyond it, it is stopped. While the host
 * itself has too little left, which stacks well within their plans bring about, all that run are asked to hold. Works
 * from what was measured last, so that another plan counts at once, and says it anew each time: a runtime that was away
 * hears of it at its return.
 */
export class DiskGuard {
  private isNear = false;
  private measured: ReadonlyMap<string, number> = new Map();
  /** What was measured and what is due each minute may come at once. */
  private readonly oneByOne = new Semaphore(1);
  private readonly looking = new Semaphore(AT_ONCE);

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
    const stacks = await readStackDisks(dataSource, settings.engineId);
    const host = await this.fullHost(stacks);
    const disks = stacks.flatMap((stack) => this.known(stack, host));
    this.isNear = disks.some((disk) => isDiskNear(disk) || disk.warning !== null);
    const looks = await Promise.allSettled(disks.map((disk) => this.looking.run(() => this.lookAt(disk, signal))));
    const findings = disks.flatMap((disk) => finding(settings.engineId, disk));
    if (host !== null) {
      const runs = stacks.filter((stack) => stack.runs).length;
      const held = looks.filter((look, at) => look.status === 'fulfilled' && look.value && disks[at]?.runs).length;
      findings.push(hostFinding(settings.engineId, host, { held, run: runs }));
    }
    await settleAlarms(dataSource, `stack-disk/${settings.engineId}`, { findings }, now());
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

  /** The host's disk while it is too full. Found so before is what was written of a stack, by whichever agent. */
  private async fullHost(stacks: readonly StackDisk[]): Promise<HostDisk | null> {
    const host = await this.deps.hostDisk();
    return isHostFull(host, stacks.some(isHeldForHost)) ? host : null;
  }

  /** Nothing of one that was never measured, unless its host's disk is full, or it must hear that it is no more. */
  private known({ usedBytes, ...stack }: StackDisk, host: HostDisk | null): MeasuredDisk[] {
    const bytes = this.measured.get(stack.tenantId) ?? usedBytes;
    const wasHeld = isHeldForHost(stack);
    // One that rests takes no more of it; one that was stopped since goes on being held, as its runtime remembers.
    const concerned = host !== null && (stack.runs || wasHeld) ? host : null;
    const told = wasHeld || stack.warning?.code === 'DISK_FREED';
    return bytes === null && concerned === null && !told ? [] : [{ ...stack, usedBytes: bytes ?? 0, host: concerned }];
  }

  /** Whether the stack has said that it holds its bots. */
  private async lookAt(disk: MeasuredDisk, signal: AbortSignal | undefined): Promise<boolean> {
    const { dataSource, logger, now } = this.deps;
    const { tenantId, slug, warning } = disk;
    if (isDiskOverrun(disk) && (await breakStack(this.deps, tenantId, brokenByDisk(disk), now()))) {
      logger.error({ stack: slug, bytes: disk.usedBytes }, 'the breaker stopped a stack that fills the disk');
    }
    const { level, said } = judged(disk);
    if (level === 'ok' && warning === null) {
      return false;
    }
    if (level === 'ok' && warning?.holdAskedAt === null) {
      await settleWarning(dataSource, { tenantId, kind: 'disk' }, now());
      logger.info({ stack: slug }, 'a stack has room on its disk again');
      return false;
    }
    const row = await raiseWarning(this.deps, { tenantId, kind: 'disk', tell: level !== 'ok' }, said, now());
    if (row === null) {
      return false;
    }
    if (said.code !== warning?.code) {
      logger.warn({ stack: slug, ...said.params }, said.message);
    }
    if (level === 'full') {
      return this.hold(row, Number(said.params['percent']), signal);
    }
    if (row.holdAskedAt !== null) {
      await this.release(row, level, signal);
    }
    return false;
  }

  private async hold(row: StackWarningEntity, percent: number, signal: AbortSignal | undefined): Promise<boolean> {
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
        return false;
      }
    }
    const answered = await this.ask(tenantId, percent, signal);
    if (answered && row.heldAt === null) {
      await dataSource.manager.update(StackWarningEntity, { tenantId, kind: 'disk' }, { heldAt: now() });
    }
    return answered || row.heldAt !== null;
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

const isHeldForHost = ({ warning }: Pick<StackDisk, 'warning'>): boolean => warning?.code === 'HOST_DISK_FULL';

/** Its own disk first, since there its owner can do something about it. */
function judged(disk: MeasuredDisk): { level: DiskLevel; said: Warning } {
  const level = stackDiskLevel(disk, levelOf(disk));
  return level !== 'full' && disk.host !== null
    ? { level: 'full', said: hostDiskWarning(disk.host) }
    : { level, said: diskWarning(level, disk) };
}

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

/** One for all of them: each stack’s own would say the same. No stack is called `all`. */
function hostFinding(engineId: string, host: HostDisk, stacks: { held: number; run: number }): Finding {
  return {
    key: `stack-disk/${engineId}/all`,
    code: 'HOST_DISK_FULL',
    severity: 'critical',
    ...hostDiskAlarm(engineId, host, stacks),
  };
}
