import type { DataSource } from 'typeorm';
import { DomainError } from '#libs/contracts';
import { OperationEntity } from '#libs/db';

export interface LeaseSettings {
  /** This process, such as `agent@host#pid`. */
  owner: string;
  seconds: number;
}

/**
 * The right to work on one operation: taken by compare-and-set, renewed while work goes on, and proven by its
 * fencing number before each engine call. From the first on the operation has its whole time, however long it waited
 * for a place. The database's clock decides, so hosts need not agree on the time.
 */
export class Lease {
  private constructor(
    private readonly dataSource: DataSource,
    private readonly settings: LeaseSettings,
    readonly operation: OperationEntity,
  ) {}

  /** Null when the operation is over, somebody else holds it, or it waits. Each time counts as an attempt. */
  static async take(dataSource: DataSource, settings: LeaseSettings, operationId: string): Promise<Lease | null> {
    const [rows] = (await dataSource.query(
      `update operations
          set state = 'running', started_at = coalesce(started_at, now()),
              deadline_at = case when started_at is null then now() + (deadline_at - created_at) else deadline_at end, attempts = attempts + 1, fencing = fencing + 1,
              lease_owner = $2, lease_expires_at = now() + make_interval(secs => $3)
        where id = $1 and state in ('queued', 'running')
          and (lease_owner is null or lease_owner = $2 or lease_expires_at < now())
          and (not_before is null or not_before <= now())
        returning id`,
      [operationId, settings.owner, settings.seconds],
    )) as [{ id: string }[], number];
    if (rows.length === 0) {
      return null;
    }
    const operation = await dataSource.manager.findOneByOrFail(OperationEntity, { id: operationId });
    return new Lease(dataSource, settings, operation);
  }

  get fencing(): number {
    return this.operation.fencing;
  }

  /** Throws FENCED once the lease is another's or has run out. */
  async prove(): Promise<void> {
    const rows = await this.dataSource.query<unknown[]>(
      `select 1 from operations where id = $1 and fencing = $2 and lease_owner = $3 and lease_expires_at > now()`,
      [this.operation.id, this.fencing, this.settings.owner],
    );
    if (rows.length === 0) {
      throw new DomainError('FENCED', { details: { operation: this.operation.id } });
    }
  }

  /** Extends the lease and says whether a person asked for an end meanwhile. Throws FENCED. */
  async renew(): Promise<{ cancelRequested: boolean }> {
    const [rows] = (await this.dataSource.query(
      `update operations set lease_expires_at = now() + make_interval(secs => $4)
        where id = $1 and fencing = $2 and lease_owner = $3 and state = 'running' and lease_expires_at > now()
        returning cancel_requested_at is not null as cancel`,
      [this.operation.id, this.fencing, this.settings.owner, this.settings.seconds],
    )) as [{ cancel: boolean }[], number];
    if (!rows[0]) {
      throw new DomainError('FENCED', { details: { operation: this.operation.id } });
    }
    return { cancelRequested: rows[0].cancel };
  }

  /** Lets the operation be taken again at once; nothing when it is no longer ours. `counts`: whether this was a try. */
  async release(counts: boolean): Promise<void> {
    await this.letGo(counts ? 'attempts = attempts' : 'attempts = attempts - 1');
  }

  /** Lets the operation be taken again after that many milliseconds, or as soon as somebody asks for its end. */
  async putBack(delayMs: number): Promise<void> {
    await this.letGo(
      'not_before = case when cancel_requested_at is null then now() + make_interval(secs => $4) end',
      delayMs / 1_000,
    );
  }

  private async letGo(also: string, ...values: number[]): Promise<void> {
    await this.dataSource.query(
      `update operations set lease_owner = null, lease_expires_at = null, ${also}
        where id = $1 and fencing = $2 and lease_owner = $3 and state = 'running'`,
      [this.operation.id, this.fencing, this.settings.owner, ...values],
    );
  }
}
