import {
  DomainError,
  isDomainError,
  SIGN_IN_STATES,
  type Accepted,
  type Actor,
  type WakeRequest,
  type WakeResponse,
} from '#libs/contracts';
import { AccountEntity, HeartbeatEntity, SessionEntity, TenantEntity, tx } from '#libs/db';
import { restProblem, mayWake, type RestProblem } from './domain/rest.js';
import type { TenantDeps } from './settings.js';
import { holdsOf, lockStack, orderOperation } from './stack.change.js';

const WHY_NOT: Record<RestProblem, string> = {
  bots_running: 'A bot runs. Stop it first: asleep, a stack does not trade.',
  orders_open: 'Orders are open. Cancel them first: asleep, a stack does not watch over them.',
  no_report: 'The stack has not reported for a while, so nobody can tell whether a bot runs. Look at it first.',
  not_running: 'The stack does not run, so nobody can tell whether a bot would. Start it first.',
};

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
   * What the gate asks for a visitor whose session it has verified. Asked a thousand times, one wake comes of it: the
   * first makes the operation, the others find the stack waking. Throws UNAUTHENTICATED for a session that is not, or
   * no longer, the owner's; TENANT_BUSY while the stack is still falling asleep.
   */
  async wakeForVisit({ tenant: tenantId, slug, sid }: WakeRequest): Promise<WakeResponse> {
    const { manager } = this.deps.dataSource;
    const actor = await this.visitor(tenantId, slug, sid);
    const seen = await manager.findOneByOrFail(TenantEntity, { id: tenantId });
    const state = await this.stateOf(seen);
    if (state !== 'asleep') {
      return { state };
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
      // Somebody stops or destroys it at this moment: its page will say so.
      if (isDomainError(error, 'WRONG_STATE')) {
        return { state: 'away' };
      }
      throw error;
    }
  }

  private async stateOf(tenant: TenantEntity): Promise<'asleep' | 'waking' | 'away'> {
    if (mayWake(tenant.desired, await holdsOf(this.deps.dataSource.manager, tenant.id))) {
      return 'asleep';
    }
    return tenant.desired === 'running' ? 'waking' : 'away';
  }

  /** The person behind a portal session, if the stack is theirs and the session lives. */
  private async visitor(tenantId: string, slug: string, sid: string): Promise<Actor> {
    const { manager } = this.deps.dataSource;
    const session = await manager.findOneBy(SessionEntity, { id: sid });
    const account = session && (await manager.findOneBy(AccountEntity, { id: session.accountId }));
    const ended = !session || session.revokedAt !== null || session.expiresAt <= this.deps.now();
    if (
      ended ||
      !account ||
      !SIGN_IN_STATES.includes(account.state) ||
      !(await manager.existsBy(TenantEntity, { id: tenantId, slug, accountId: session.accountId }))
    ) {
      throw new DomainError('UNAUTHENTICATED');
    }
    return {
      kind: 'subscriber',
      accountId: account.id,
      username: account.username,
      via: 'portal',
      ip: null,
      sessionId: sid,
    };
  }
}
