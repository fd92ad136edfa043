import { AsyncLocalStorage } from 'node:async_hooks';
import { DomainError } from '#libs/contracts';
import { IdempotentRequestEntity, newId, type Database, type Tx } from '#libs/db';

/** As long as a client may reasonably repeat a request; Stripe keeps its keys for the same time. */
const KEEP_MS = 24 * 3_600_000;
/** No request of ours takes this long; whoever took the key then is dead. */
const ABANDONED_MS = 60_000;

export interface RequestIdentity {
  accountId: string;
  key: string;
  requestHash: string;
}

export type Claim =
  | { kind: 'mine'; claimId: string }
  | { kind: 'answered'; status: number; body: unknown }
  /** The operation was made, and its answer is not kept (yet, or never: the process died). */
  | { kind: 'made'; operationId: string };

/**
 * Requests by account and key. The primary key decides which of two at once is worked on; `made` is called inside
 * the transaction that makes the thing, which is why a key can be given back or taken over without a second one.
 */
export class IdempotencyStore {
  private readonly current = new AsyncLocalStorage<{ identity: RequestIdentity; claimId: string }>();

  constructor(
    private readonly database: Database,
    private readonly now: () => Date = () => new Date(),
  ) {}

  /**
   * Takes the key, or tells what became of it. Throws IDEMPOTENCY_KEY_REUSED for another request under the same key
   * and IDEMPOTENCY_IN_PROGRESS while the first is still being worked on.
   */
  async claim(identity: RequestIdentity): Promise<Claim> {
    const { accountId, key, requestHash } = identity;
    const now = this.now();
    const claimId = newId();
    const expiresAt = new Date(now.getTime() + KEEP_MS);
    const abandoned = new Date(now.getTime() - ABANDONED_MS);
    const taken: unknown[] = await this.database.query(
      `with forgotten as (delete from requests where account_id = $1 and key <> $2 and expires_at <= $5)
       insert into requests (account_id, key, claim_id, request_hash, created_at, expires_at) values ($1, $2, $3, $4, $5, $6)
       on conflict (account_id, key) do update
         set claim_id = excluded.claim_id, request_hash = excluded.request_hash, created_at = excluded.created_at,
             expires_at = excluded.expires_at, operation_id = null, status = null, body = null, answered_at = null
         where requests.expires_at <= $5
            or (requests.request_hash = $4 and requests.status is null and requests.operation_id is null
                and requests.created_at <= $7)
       returning claim_id`,
      [accountId, key, claimId, requestHash, now, expiresAt, abandoned],
    );
    if (taken.length > 0) {
      return { kind: 'mine', claimId };
    }
    const found = await this.database.getRepository(IdempotentRequestEntity).findOneBy({ accountId, key });
    if (found && found.requestHash !== requestHash) {
      throw new DomainError('IDEMPOTENCY_KEY_REUSED');
    }
    if (found && found.status !== null) {
      return { kind: 'answered', status: found.status, body: found.body };
    }
    if (found?.operationId) {
      return { kind: 'made', operationId: found.operationId };
    }
    // No row: the other request just failed and gave the key back. Asking again finds it free.
    throw new DomainError('IDEMPOTENCY_IN_PROGRESS', { details: { retryAfterSeconds: 1 } });
  }

  /** Runs `work` so that `made` knows which request it belongs to. */
  working<T>(identity: RequestIdentity, claimId: string, work: () => Promise<T>): Promise<T> {
    return this.current.run({ identity, claimId }, work);
  }

  /** In the transaction that makes an operation. Throws LOST_RACE when the key was taken over meanwhile. */
  async made(tx: Tx, operationId: string): Promise<void> {
    const current = this.current.getStore();
    if (!current) {
      return;
    }
    const { accountId, key } = current.identity;
    const marked = await tx.update(
      IdempotentRequestEntity,
      { accountId, key, claimId: current.claimId },
      { operationId },
    );
    if (marked.affected !== 1) {
      throw new DomainError('LOST_RACE', { message: 'This request took too long and was repeated meanwhile.' });
    }
  }

  async answer(identity: RequestIdentity, claimId: string, answer: { status: number; body: unknown }): Promise<void> {
    await this.database.query(
      `update requests set status = $4, body = $5::jsonb, answered_at = $6
        where account_id = $1 and key = $2 and claim_id = $3 and status is null`,
      [identity.accountId, identity.key, claimId, answer.status, JSON.stringify(answer.body ?? null), this.now()],
    );
  }

  /**
   * The work failed: the key may be tried again, unless the thing was made after all (a connection lost during the
   * commit). The row lock of `made` makes this wait for a commit that is still under way.
   */
  async release(identity: RequestIdentity, claimId: string): Promise<void> {
    await this.database.query(
      `delete from requests
        where account_id = $1 and key = $2 and claim_id = $3 and status is null and operation_id is null`,
      [identity.accountId, identity.key, claimId],
    );
  }
}
