import type { DataSource } from 'typeorm';
import { DomainError } from '#libs/contracts';
import type { Action } from './planner/plan.js';

/** How many actions a phase may log before the next phase's number; a plan is far smaller. */
const SEQ_PER_PHASE = 1_000;

/** What is done within a phase: an action of a plan, or what goes before it. */
type Doing = Pick<Action, 'target'> & { kind: Action['kind'] | 'drain bots' };

interface LoggedStep {
  seq: number;
  phase: string;
  action: Doing;
}

/**
 * Writes the steps of one operation, each write conditional on the fencing number. Actions are written behind the
 * work in one chain (they are for people to read; a resumed phase looks at the engine, not at them) and awaited at
 * the end of their phase; phases are written before the work goes on.
 */
export class StepLog {
  private tail: Promise<void> = Promise.resolve();
  private failure: Error | undefined;
  private nextSeq = 0;

  constructor(
    private readonly dataSource: DataSource,
    private readonly operationId: string,
    private readonly fencing: number,
    private readonly now: () => Date,
  ) {}

  async beginPhase(phase: string, index: number): Promise<void> {
    await this.flush();
    const base = index * SEQ_PER_PHASE;
    const [last] = await this.dataSource.query<{ seq: number }[]>(
      `select max(seq) as seq from operation_steps where operation_id = $1 and seq >= $2 and seq < $3`,
      [this.operationId, base, base + SEQ_PER_PHASE],
    );
    this.nextSeq = (last?.seq ?? base) + 1;
    // Actions that were running when the worker before us died: nobody knows how they ended, so they are not "done".
    await this.write(
      `update operation_steps set state = 'skipped', finished_at = $3, detail = 'interrupted; looked at again'
        where operation_id = $1 and action is not null and state = 'running' and $2 = (select fencing from operations where id = $1)`,
      [this.now()],
      false,
    );
    await this.setPhase(phase, 'running', { started: true, detail: null });
  }

  async endPhase(phase: string, state: 'done' | 'failed' | 'skipped', detail: string | null = null): Promise<void> {
    await this.flush();
    await this.setPhase(phase, state, { started: false, detail });
  }

  /** Of phases that have not begun: they are not needed, for that reason. */
  async skip(phases: readonly string[], why: string): Promise<void> {
    await this.write(
      `update operation_steps set state = 'skipped', detail = $4, finished_at = $5
        where operation_id = $1 and phase = any($3) and action is null and state = 'pending'
          and $2 = (select fencing from operations where id = $1)`,
      [[...phases], why, this.now()],
    );
  }

  begin(phase: string, action: Doing): LoggedStep {
    const step = { seq: this.nextSeq, phase, action };
    this.nextSeq += 1;
    const at = this.now();
    this.behind(() =>
      this.write(
        `insert into operation_steps (operation_id, seq, phase, action, target, state, started_at)
         select $1, $3, $4, $5, $6, 'running', $7 where $2 = (select fencing from operations where id = $1)`,
        [step.seq, phase, action.kind, action.target, at],
      ),
    );
    return step;
  }

  end(step: LoggedStep, state: 'done' | 'failed', detail: string | null = null): void {
    const at = this.now();
    this.behind(() =>
      this.write(
        `update operation_steps set state = $4, finished_at = $5, detail = $6
          where operation_id = $1 and seq = $3 and $2 = (select fencing from operations where id = $1)`,
        [step.seq, state, at, detail],
      ),
    );
  }

  /** Waits until everything is written; throws what went wrong on the way, FENCED first of all. */
  async flush(): Promise<void> {
    await this.tail;
    if (this.failure !== undefined) {
      const failure = this.failure;
      this.failure = undefined;
      throw failure;
    }
  }

  private setPhase(phase: string, state: string, more: { started: boolean; detail: string | null }): Promise<void> {
    return this.write(
      `update operation_steps set state = $4, detail = $5,
              started_at = case when $6 then coalesce(started_at, $7) else started_at end,
              finished_at = case when $6 then null else $7 end
        where operation_id = $1 and phase = $3 and action is null and $2 = (select fencing from operations where id = $1)`,
      [phase, state, more.detail, more.started, this.now()],
    );
  }

  private behind(write: () => Promise<void>): void {
    this.tail = this.tail.then(write).catch((error: unknown) => {
      this.failure ??= error instanceof Error ? error : new Error(String(error));
    });
  }

  private async write(sql: string, values: unknown[], mustHit = true): Promise<void> {
    // An UPDATE answers [rows, count], an INSERT the rows alone.
    const result = await this.dataSource.query<unknown[]>(`${sql} returning 1 as hit`, [
      this.operationId,
      this.fencing,
      ...values,
    ]);
    const rows = Array.isArray(result[0]) ? result[0] : result;
    if (mustHit && rows.length === 0) {
      throw new DomainError('FENCED', { details: { operation: this.operationId } });
    }
  }
}
