import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { backoffMs, DeadlineError, KeyedMutex, waitFor } from '#libs/async';
import { DomainError, isDomainError, type ErrorCode, type ErrorDetails, type OperationKind } from '#libs/contracts';
import { isDatabaseAway, OperationStepEntity, tx, type OperationEntity, type Tx } from '#libs/db';
import type { Engine } from '#libs/engine';
import type { Logger } from '#libs/telemetry';
import {
  crossingOf,
  endHalfWay,
  isCalledOff,
  isShared,
  mayCancel,
  OPERATION_PHASES,
  tellLoss,
  type PhaseName,
  type PhaseRule,
} from '#libs/tenants';
import { readFacts, type FactSettings } from './facts.js';
import { guardedEngine, guardedStreams } from './guarded-engine.js';
import { Lease, type LeaseSettings } from './lease.js';
import { reasonOf, recordObserved, type Reason } from './observed.js';
import type { PhaseContext, PhaseDeps } from './phase-context.js';
import { PHASE_HANDLERS } from './phases.js';
import { gaveUp, MOST_ATTEMPTS, nextStep, retryDelayMs } from './retry.js';
import { StepLog } from './step-log.js';

export interface RunnerSettings extends FactSettings {
  lease: LeaseSettings;
  /** How long to wait for the portal's database to come back before the work is left to the next look. */
  databaseAwayMs: number;
  /** How long a phase may go on after it was told to end. */
  obeysWithinMs: number;
  /**
   * Told once of a phase that does not obey. It would keep its stack for ever, and nobody else may touch what it may still
   * change: this process has to end, and with it what it started. The next one goes on.
   */
  stuck: (error: DomainError) => void;
}

const DATABASE_PAUSE_MS = 100;
const LONGEST_DATABASE_PAUSE_MS = 30_000;

/** Rows are locked in one order everywhere, the stack's first: a request for a new operation locks them so too. */
async function lockTenant(db: Pick<Tx, 'query'>, tenantId: string): Promise<void> {
  await db.query('select from tenants where id = $1 for update', [tenantId]);
}

/** How far a run came; null before its first phase. */
interface Progress {
  phase: PhaseName | null;
}

/** Makes operations so: takes the lease, runs the phases that are not done, writes the end. */
export class OperationRunner {
  /** One piece of work per stack in this process: what a superseded run still has in flight must end before the next begins. */
  private readonly perTenant = new KeyedMutex();
  private readonly live = new Map<string, Promise<void>>();
  /** Makes the run of a stack look at its lease at once, instead of at its next turn. */
  private readonly pokes = new Map<string, () => void>();

  constructor(
    private readonly engine: Engine,
    private readonly deps: PhaseDeps,
    private readonly settings: RunnerSettings,
    private readonly logger: Logger,
  ) {}

  /** Whether this process works on it right now. */
  isLive(operationId: string): boolean {
    return this.live.has(operationId);
  }

  /** Has what is under way on the stack ask now whether it still may go on, rather than at its next turn. */
  poke(tenantId: string): void {
    this.pokes.get(tenantId)?.();
  }

  /**
   * Resolves when the operation has ended, is another's, or waits for its engine; rejects when it could not be worked
   * on and should be looked at again (database away, or `stop`).
   */
  run(operationId: string, tenantId: string, stop: AbortSignal): Promise<void> {
    const already = this.live.get(operationId);
    if (already) {
      return already;
    }
    this.poke(tenantId);
    const work = this.perTenant
      .run(tenantId, () => this.untilEnded(operationId, stop))
      .finally(() => this.live.delete(operationId));
    this.live.set(operationId, work);
    return work;
  }

  private async untilEnded(operationId: string, stop: AbortSignal): Promise<void> {
    for (let turn = 0; ; turn += 1) {
      try {
        await this.once(operationId, stop);
        return;
      } catch (error) {
        if (!isDatabaseAway(error)) {
          throw error;
        }
        this.logger.warn({ operation: operationId, err: error }, 'portal database away, waiting for it');
        await waitFor(() => this.deps.dataSource.query<unknown[]>('select 1'), {
          what: 'the portal database coming back',
          deadlineMs: this.settings.databaseAwayMs,
          signal: stop,
        });
        // One that answers and has no room for us would otherwise be asked in a circle.
        await pause(backoffMs(turn, DATABASE_PAUSE_MS, LONGEST_DATABASE_PAUSE_MS, 1), undefined, { signal: stop });
      }
    }
  }

  private async once(operationId: string, stop: AbortSignal): Promise<void> {
    const lease = await Lease.take(this.deps.dataSource, this.settings.lease, operationId);
    if (!lease) {
      return;
    }
    const { operation } = lease;
    const log = this.logger.child({ operation: operation.id, stack: operation.slug, kind: operation.kind });
    const control = new AbortController();
    const signal = AbortSignal.any([stop, control.signal]);
    const at: Progress = { phase: null };
    const renew = (): void => {
      lease.renew().then(
        ({ cancelRequested }) => {
          if (cancelRequested && mayCancel(operation.kind, 'running', at.phase)) {
            control.abort(calledOff());
          }
        },
        (error: unknown) => {
          // Away is not lost: the lease itself decides, by its expiry, at the next engine call.
          if (isDomainError(error, 'FENCED')) {
            control.abort(error);
          }
        },
      );
    };
    const renewing = setInterval(renew, (this.settings.lease.seconds * 1_000) / 3);
    this.pokes.set(operation.tenantId, renew);
    try {
      if (operation.attempts > MOST_ATTEMPTS) {
        throw gaveUp(operation.kind, operation.attempts - 1);
      }
      at.phase = await this.firstUndone(operation);
      if (operation.cancelRequestedAt !== null && mayCancel(operation.kind, 'running', at.phase)) {
        throw calledOff();
      }
      await this.phases(lease, signal, at);
      await this.succeed(lease);
      log.info('operation done');
    } catch (error) {
      const meant = signal.aborted && !(error instanceof DomainError) ? (signal.reason ?? error) : error;
      await this.ended(lease, meant, stop);
    } finally {
      clearInterval(renewing);
      this.pokes.delete(operation.tenantId);
    }
  }

  /** The phase a run goes on with; null once all are done. */
  private async firstUndone(operation: OperationEntity): Promise<PhaseName | null> {
    const done = await this.donePhases(operation);
    return OPERATION_PHASES[operation.kind].find(({ name }) => !done.has(name))?.name ?? null;
  }

  /** Those that are done, left out when it was asked for, or unknown to the version that was asked. */
  private async donePhases({ id, kind }: OperationEntity): Promise<Set<string>> {
    const steps = await this.deps.dataSource.manager.findBy(OperationStepEntity, { operationId: id });
    const open = new Set(
      steps
        .filter((step) => step.action === null && !['done', 'skipped'].includes(step.state))
        .map((step) => step.phase),
    );
    return new Set(OPERATION_PHASES[kind].map(({ name }) => name).filter((name) => !open.has(name)));
  }

  private async phases(lease: Lease, signal: AbortSignal, at: Progress): Promise<void> {
    const { dataSource, now } = this.deps;
    const { operation } = lease;
    const engine = guardedEngine(this.engine, () => lease.prove());
    const streams = guardedStreams(this.deps.streams, () => lease.prove());
    const log = new StepLog(dataSource, operation.id, lease.fencing, now);
    const done = await this.donePhases(operation);
    const rules: readonly PhaseRule[] = OPERATION_PHASES[operation.kind];
    const crossing = crossingOf(operation.kind);
    const contextOf = async (phase: PhaseName, deadlineMs: number): Promise<PhaseContext> => {
      const facts = await readFacts(dataSource.manager, this.settings, operation.tenantId);
      if (!facts) {
        throw new DomainError('NOT_FOUND', { message: `The rows of ${operation.slug} are gone.` });
      }
      return {
        deps: this.deps,
        engine,
        streams,
        prove: () => lease.prove(),
        operation,
        facts,
        log,
        skip: async (phases, why) => {
          await log.skip(phases, why);
          phases.forEach((skipped) => done.add(skipped));
        },
        phase,
        signal: AbortSignal.any([signal, AbortSignal.timeout(deadlineMs)]),
        deadlineMs,
      };
    };
    for (const [index, { name, deadlineMs }] of rules.entries()) {
      if (done.has(name)) {
        continue;
      }
      if (name === crossing?.to && (await tx(dataSource, (db) => isCalledOff(db, operation, name)))) {
        // As one that ended in the phase before, whoever takes it over here.
        at.phase = crossing.from;
        await this.deps.backups.giveUp(await contextOf(name, deadlineMs));
        throw calledOff();
      }
      signal.throwIfAborted();
      at.phase = name;
      const context = await contextOf(name, deadlineMs);
      await log.beginPhase(name, index);
      const phaseSignal = context.signal;
      try {
        const work = PHASE_HANDLERS[name](context);
        const detail = await this.obeying(work, phaseSignal, `${name} of ${operation.kind} ${operation.id}`);
        await log.endPhase(name, 'done', detail);
      } catch (error) {
        const meant = phaseSignal.aborted && !signal.aborted ? tooLong(name, deadlineMs, error) : error;
        await this.noteFailure(log, { operation: operation.id, phase: name }, meant);
        throw meant;
      }
    }
  }

  /** The same, and the end of this process where it does not end by itself once it was told to. */
  private async obeying<T>(work: Promise<T>, signal: AbortSignal, what: string): Promise<T> {
    const { obeysWithinMs, stuck } = this.settings;
    let timer: NodeJS.Timeout | undefined;
    const told = (): void => {
      timer = setTimeout(() => {
        const message = `The phase ${what} was told to end and went on for ${obeysWithinMs / 1_000} s.`;
        stuck(new DomainError('DEADLINE_EXCEEDED', { message, details: { what }, cause: signal.reason }));
      }, obeysWithinMs);
    };
    signal.addEventListener('abort', told, { once: true });
    if (signal.aborted) {
      told();
    }
    try {
      return await work;
    } finally {
      signal.removeEventListener('abort', told);
      clearTimeout(timer);
    }
  }

  /** The phase's own row; when that cannot be written either, the first error is the one to tell. */
  private async noteFailure(log: StepLog, at: { operation: string; phase: string }, error: unknown): Promise<void> {
    try {
      await log.endPhase(at.phase, 'failed', error instanceof Error ? error.message : String(error));
    } catch (second) {
      this.logger.warn({ ...at, err: second }, 'could not note the failure of a phase');
    }
  }

  private async succeed(lease: Lease): Promise<void> {
    const { operation } = lease;
    await tx(this.deps.dataSource, async (db) => {
      await lockTenant(db, operation.tenantId);
      const [, moved] = (await db.query(
        `update operations set state = 'done', finished_at = $3, lease_owner = null, lease_expires_at = null
          where id = $1 and state = 'running' and fencing = $2`,
        [operation.id, lease.fencing, this.deps.now()],
      )) as [unknown, number];
      if (moved !== 1) {
        throw new DomainError('FENCED', { details: { operation: operation.id } });
      }
      if (operation.kind === 'destroy') {
        await db.query('delete from tenants where id = $1', [operation.tenantId]);
      } else if (!isShared(operation.kind)) {
        await this.recordWanted(db, operation);
      }
    });
  }

  /** What was wanted is so now; what the breaker stopped keeps the reason it was stopped for. */
  private async recordWanted(db: Tx, { kind, tenantId }: OperationEntity): Promise<void> {
    const [wanted] = await db.query<{ runs: boolean; broken: boolean }[]>(
      `select desired = 'running' and not exists (select from holds where tenant_id = t.id) as runs,
              exists (select from holds where tenant_id = t.id and reason = 'breaker') as broken
         from tenants t where id = $1`,
      [tenantId],
    );
    const now = this.deps.now();
    if (kind === 'repair' && wanted?.broken === true) {
      await db.query(
        `update tenants set observed_since = case when observed = 'stopped' then observed_since else $2 end,
                observed = 'stopped', checked_at = $2 where id = $1`,
        [tenantId, now],
      );
      return;
    }
    await recordObserved(db, { tenantId, observed: wanted?.runs ? 'running' : 'stopped', reason: null, now });
    // What a stack that sleeps may be woken by: awake it knows that itself, and stopped nothing wakes it.
    await db.query(
      `delete from sleep_tokens s using tenants t where t.id = $1 and s.tenant_id = t.id and t.desired <> 'hibernated'`,
      [tenantId],
    );
  }

  private async ended(lease: Lease, error: unknown, stop: AbortSignal): Promise<void> {
    const { operation } = lease;
    if (isDomainError(error, 'FENCED')) {
      this.logger.warn({ operation: operation.id }, 'operation taken over by another worker');
      return;
    }
    if (stop.aborted || isDatabaseAway(error)) {
      // Not the operation's fault: it stays open and is looked at again, here or by another agent.
      await lease
        .release(!stop.aborted)
        .catch((second: unknown) => this.logger.warn({ operation: operation.id, err: second }, 'lease left to expire'));
      throw error;
    }
    const engineAway = isDomainError(error, 'ENGINE_UNREACHABLE');
    if (engineAway && operation.attempts < MOST_ATTEMPTS) {
      const delayMs = retryDelayMs(operation.attempts, Math.random());
      this.logger.warn({ operation: operation.id, delayMs, err: error }, 'engine away, the operation waits for it');
      await lease.putBack(delayMs);
      return;
    }
    const cancelled = isDomainError(error, 'OPERATION_CANCELLED');
    const told = tell(engineAway ? gaveUp(operation.kind, operation.attempts, error) : error);
    if (!cancelled) {
      told.details = { ...told.details, next: nextStep(operation.kind) };
    }
    this.logger[cancelled ? 'info' : 'error'](
      { operation: operation.id, stack: operation.slug, errorId: told.errorId, err: error },
      'operation ended without success',
    );
    await tx(this.deps.dataSource, async (db) => {
      await lockTenant(db, operation.tenantId);
      const [, moved] = (await db.query(
        `update operations set state = $4, finished_at = $3, error = $5, lease_owner = null, lease_expires_at = null
          where id = $1 and state = 'running' and fencing = $2`,
        [operation.id, lease.fencing, this.deps.now(), cancelled ? 'cancelled' : 'failed', JSON.stringify(told)],
      )) as [unknown, number];
      if (moved === 1) {
        await db.query(`update operation_steps set state = 'skipped' where operation_id = $1 and state = 'pending'`, [
          operation.id,
        ]);
        const now = this.deps.now();
        const left = await endHalfWay(db, this.deps.queue, { operation, error: told, now });
        if (left === 'alone' || left === 'going_back') {
          return;
        }
        const untouched = left === 'untouched';
        const { tenantId } = operation;
        const reason = untouched ? null : cancelled ? cancelledHalfWay(operation.kind) : reasonOf(told);
        await tellLoss(db, this.deps, { tenantId, reason });
        const observed = untouched ? 'running' : cancelled ? 'partial' : 'failed';
        await recordObserved(db, { tenantId, observed, reason, now });
      }
    });
  }
}

function calledOff(): DomainError {
  return new DomainError('OPERATION_CANCELLED', { details: { why: 'request' } });
}

interface Told {
  code: ErrorCode;
  message: string;
  errorId: string;
  details: ErrorDetails;
}

/** An error as the operation's row keeps it: what is ours in its words, anything else by an id that finds the log line. */
function tell(error: unknown): Told {
  const errorId = randomUUID();
  if (error instanceof DomainError) {
    return { code: error.code, message: error.message, errorId, details: error.details };
  }
  if (error instanceof DeadlineError) {
    return { code: 'DEADLINE_EXCEEDED', message: `${error.message}.`, errorId, details: {} };
  }
  return { code: 'INTERNAL', message: new DomainError('INTERNAL').message, errorId, details: {} };
}

function tooLong(phase: string, deadlineMs: number, cause: unknown): DomainError {
  const seconds = Math.round(deadlineMs / 1_000);
  return new DomainError('DEADLINE_EXCEEDED', {
    message: `The phase ${phase} was not done within ${seconds} s.`,
    details: { phase, seconds },
    cause,
  });
}

function cancelledHalfWay(kind: OperationKind): Reason {
  return {
    code: 'CANCELLED_HALFWAY',
    message: `The ${kind} was cancelled half-way. Start or destroy the stack.`,
    params: { kind },
  };
}
