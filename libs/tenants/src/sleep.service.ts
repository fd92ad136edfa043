import {
  DomainError,
  isDomainError,
  OPEN_OPERATION_STATES,
  SIGN_IN_STATES,
  type Accepted,
  type Actor,
  type StartingRequest,
  type StartingResponse,
  type WakeRequest,
  type WakeResponse,
} from '#libs/contracts';
import { HeartbeatEntity, tx } from '#libs/db';
import { restProblem, mayWake, type RestProblem } from './domain/rest.js';
import type { TenantDeps } from './settings.js';
import { holdsOf, lockStack, orderOperation } from './stack.change.js';

const WHY_NOT: Record<RestProblem, string> = {
  bots_running: 'A bot runs. Stop it first: asleep, a stack does not trade.',
  orders_open: 'Orders are open. Cancel them first: asleep, a stack does not watch over them.',
  no_report: 'The stack has not reported for a while, so nobody can tell whether a bot runs. Look at it first.',
  not_running: 'The stack does not run, so nobody can tell whether a bot would. Start it first.',
};

/** Of a stack `t`: something is under way, or it runs and its route is about to lead to it; $6: states of the open. */
const STARTS = `(t.observed = 'running' or exists (select from operations o
  where o.tenant_id = t.id and o.state = any($6)))`;

/** Who may wake a stack: its owner in a session that lives ($3), or a program with a token it had as it fell asleep. */
const BY_SESSION = `sessions s join accounts a on a.id = s.account_id join tenants t on t.account_id = a.id
  where s.id = $3 and s.revoked_at is null`;
const BY_TOKEN = `sleep_tokens s join tenants t on t.id = s.tenant_id join accounts a on a.id = t.account_id
  where s.digest = $3`;

interface Visitor {
  actor: Actor;
  desired: string;
  held: boolean;
  starts: boolean;
  /** Null for whoever is not told. */
  reason: string | null;
}

/** Puts stacks to sleep that trade nothing, and wakes them when somebody comes. */
export class SleepService {
  constructor(private readonly deps: TenantDeps) {}

  /**
   * Throws BOTS_RUNNING (details.why is a RestProblem) unless the stack itself said a moment ago that nothing of it
   * trades. One that sleeps already is looked at again.
   */
  async hibernate(actor: Actor, slug: string): Promise<Accepted> {
    return tx(this.deps.dataSource, async (db) => {
      const tenant = await lockStack(db, actor, slug, 'hibernate');
      if (tenant.desired !== 'hibernated') {
        const heartbeat = await db.findOneBy(HeartbeatEntity, { tenantId: tenant.id });
        const problem = restProblem({ heartbeat, observed: tenant.observed, now: this.deps.now() });
        if (problem !== null) {
          throw new DomainError('BOTS_RUNNING', {
            message: WHY_NOT[problem],
            details: {
              why: problem,
              runningBots: heartbeat?.runningBots ?? null,
              openOrders: heartbeat?.openOrders ?? null,
            },
          });
        }
      }
      return orderOperation(db, this.deps, { tenant, kind: 'hibernate', actor });
    });
  }

  /** Wakes a stack that sleeps; of one that is wanted to run already, the same as starting it. */
  async wake(actor: Actor, slug: string): Promise<Accepted> {
    return tx(this.deps.dataSource, async (db) =>
      orderOperation(db, this.deps, { tenant: await lockStack(db, actor, slug, 'wake'), kind: 'wake', actor }),
    );
  }

  /**
   * What the gate asks for a visitor whose session it has verified, or for a program by its token. Asked a thousand
   * times, one wake comes of it: the first makes the operation, the others find the stack waking. Throws UNAUTHENTICATED
   * for a session that is not, or no longer, the owner's, and for what is no valid token of this stack; TENANT_BUSY
   * while the stack is still falling asleep.
   */
  async wakeFor(request: WakeRequest): Promise<WakeResponse> {
    const { slug } = request;
    const { actor, desired, held, starts, reason } = await this.visitor(request);
    if (held || desired !== 'hibernated') {
      if (desired !== 'running') {
        return { state: 'away' };
      }
      return starts ? { state: 'waking' } : { state: 'failed', reason };
    }
    try {
      return await tx(this.deps.dataSource, async (db): Promise<WakeResponse> => {
        const tenant = await lockStack(db, actor, slug, 'wake');
        if (!mayWake(tenant.desired, await holdsOf(db, tenant.id))) {
          return { state: tenant.desired === 'running' ? 'waking' : 'away' };
        }
        await orderOperation(db, this.deps, { tenant, kind: 'wake', actor });
        return { state: 'waking' };
      });
    } catch (error) {
      if (isDomainError(error, 'NO_CAPACITY')) {
        // Nothing would come of waiting: the host is full, and asking every few seconds makes no room.
        return { state: 'failed', reason: 'sid' in request ? error.message : null };
      }
      // Somebody stops or destroys it at this moment: its page will say so.
      if (isDomainError(error, 'WRONG_STATE')) {
        return { state: 'away' };
      }
      throw error;
    }
  }

  /**
   * What the gate asks for somebody who waits for a stack. It still starts while an operation of it is open, and for
   * the moment until its route leads to it; else nothing is under way that would. Why is told in its owner's session
   * alone. Throws NOT_FOUND for a stack there is not.
   */
  async standing({ tenant, slug, sid }: StartingRequest): Promise<StartingResponse> {
    const [found] = await this.deps.dataSource.query<{ starts: boolean; reason: string | null; own: boolean }[]>(
      `select ${STARTS} as starts,
              t.reason,
              exists (select from sessions s join accounts a on a.id = s.account_id
                 where s.id = $3 and a.id = t.account_id and a.state = any($5)
                   and s.revoked_at is null and s.expires_at > $4) as own
         from tenants t where t.id = $1 and t.slug = $2`,
      [tenant, slug, sid, this.deps.now(), SIGN_IN_STATES, OPEN_OPERATION_STATES],
    );
    if (!found) {
      throw new DomainError('NOT_FOUND');
    }
    return found.starts
      ? { state: 'starting', reason: null }
      : { state: 'failed', reason: found.own ? found.reason : null };
  }

  /** One statement, since all who wait ask it. */
  private async visitor(request: WakeRequest): Promise<Visitor> {
    const person = 'sid' in request;
    const [found] = await this.deps.dataSource.query<
      { account: string; username: string; desired: string; held: boolean; starts: boolean; reason: string | null }[]
    >(
      `select a.id as account, a.username, t.desired, exists (select from holds where tenant_id = t.id) as held,
              ${STARTS} as starts, t.reason
         from ${person ? BY_SESSION : BY_TOKEN}
          and s.expires_at > $4 and a.state = any($5) and t.id = $1 and t.slug = $2`,
      [
        request.tenant,
        request.slug,
        person ? request.sid : request.digest,
        this.deps.now(),
        SIGN_IN_STATES,
        OPEN_OPERATION_STATES,
      ],
    );
    if (!found) {
      throw new DomainError('UNAUTHENTICATED');
    }
    const { account: accountId, username, desired, held, starts, reason } = found;
    return {
      actor: {
        kind: 'subscriber',
        accountId,
        username,
        via: person ? 'portal' : 'token',
        ip: null,
        sessionId: person ? request.sid : null,
      },
      desired,
      held,
      starts,
      reason: person ? reason : null,
    };
  }
}
