import { appendAudit } from '#libs/audit';
import { DomainError, type Actor, type Me, type Role } from '#libs/contracts';
import { AccountEntity, PlanEntity, tx } from '#libs/db';
import { findByIdentifier, insertAccount } from './account.repository.js';
import type { AccountDeps } from './deps.js';
import { meView } from './views.js';

export interface CreateUser {
  email: string;
  username: string;
  password: string;
  role: Role;
}

export interface UserQuery {
  /** The id after which the page begins, as the last page gave it. */
  cursor?: string | undefined;
  limit?: number | undefined;
  /** Part of an e-mail address or user name. */
  q?: string | undefined;
}

/** Throws FORBIDDEN unless the actor is an operator or the platform itself. */
export function requireOperator(actor: Actor): void {
  if (actor.kind === 'subscriber') {
    throw new DomainError('FORBIDDEN');
  }
}

export class AccountService {
  constructor(private readonly deps: Omit<AccountDeps, 'mails'>) {}

  /** The account of the actor; UNAUTHENTICATED for the system, which has none. */
  async me(actor: Actor): Promise<Me> {
    if (actor.kind === 'system') {
      throw new DomainError('UNAUTHENTICATED');
    }
    const account = await this.deps.database.getRepository(AccountEntity).findOneBy({ id: actor.accountId });
    if (!account) {
      throw new DomainError('UNAUTHENTICATED');
    }
    const plan = await this.deps.database.getRepository(PlanEntity).findOneByOrFail({ id: account.planId });
    return meView(account, plan);
  }

  /** All accounts, newest first; operators only. */
  async list(actor: Actor, query: UserQuery = {}): Promise<{ items: Me[]; next: string | null }> {
    requireOperator(actor);
    const limit = Math.min(Math.max(query.limit ?? 50, 1), 200);
    const find = this.deps.database
      .getRepository(AccountEntity)
      .createQueryBuilder('account')
      .orderBy('account.id', 'DESC')
      .take(limit + 1);
    if (query.cursor) {
      find.andWhere('account.id < :cursor', { cursor: query.cursor });
    }
    if (query.q) {
      const like = `%${query.q.toLowerCase().replaceAll(/[\\%_]/g, (char) => `\\${char}`)}%`;
      find.andWhere('(account.email like :like or account.username like :like)', { like });
    }
    const rows = await find.getMany();
    const plans = await this.deps.database.getRepository(PlanEntity).find();
    const codes = new Map(plans.map((plan) => [plan.id, plan]));
    const items = rows.slice(0, limit).map((row) => meView(row, codes.get(row.planId) ?? { code: 'unknown' }));
    return { items, next: rows.length > limit ? (items.at(-1)?.id ?? null) : null };
  }

  /** An account made by hand: active at once, its address believed. Operators and the platform itself only. */
  async create(actor: Actor, user: CreateUser): Promise<Me> {
    requireOperator(actor);
    const passwordHash = await this.deps.passwords.hash(user.password);
    const now = this.deps.now();
    return tx(this.deps.database, async (inTx) => {
      const account = await insertAccount(inTx, {
        email: user.email,
        username: user.username,
        passwordHash,
        role: user.role,
        state: 'active',
        now,
      });
      const plan = await inTx.getRepository(PlanEntity).findOneByOrFail({ id: account.planId });
      const change = { emailVerifiedAt: now, trialEndsAt: new Date(now.getTime() + plan.trialDays * 86_400_000) };
      await inTx.update(AccountEntity, { id: account.id }, change);
      await appendAudit(inTx, {
        actor,
        action: 'account.create',
        target: { kind: 'account', id: account.id },
        after: { email: account.email, username: account.username, role: account.role },
      });
      return meView(Object.assign(account, change), plan);
    });
  }

  /** The operator a command acts as: the named one, else the first there was; null while the platform has none. */
  async operator(name: string | null): Promise<Extract<Actor, { accountId: string }> | null> {
    const accounts = this.deps.database.getRepository(AccountEntity);
    const account =
      name === null
        ? await accounts.findOne({ where: { role: 'operator', state: 'active' }, order: { id: 'ASC' } })
        : await findByIdentifier(this.deps.database.manager, name);
    if (name !== null && (!account || account.role !== 'operator' || account.state !== 'active')) {
      throw new DomainError('NOT_FOUND', { message: `There is no active operator called ${name}.` });
    }
    return account
      ? {
          kind: 'operator',
          accountId: account.id,
          username: account.username,
          via: 'cli',
          ip: null,
          sessionId: null,
        }
      : null;
  }
}
