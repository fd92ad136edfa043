import type { EntityManager } from 'typeorm';
import { appendAudit } from '#libs/audit';
import {
  DomainError,
  stackLimitsSchema,
  type Accepted,
  type Actor,
  type CreateStack,
  type StackList,
  type StackView,
} from '#libs/contracts';
import { randomBase32 } from '#libs/crypto';
import {
  AccountEntity,
  EngineEntity,
  HostnameEntity,
  newId,
  PlanEntity,
  ReleaseEntity,
  TenantEntity,
  tx,
} from '#libs/db';
import { allocateAddresses } from './allocate.js';
import { requireRoom } from './capacity.js';
import { ownerScope, requireActor } from './authorise.js';
import { placementOf } from './domain/capacity.js';
import { stackHost } from './domain/names.js';
import type { Template } from './domain/template.js';
import { newestStable } from './offered-upgrades.js';
import { startOperation } from './operation.start.js';
import type { AllocationSettings, TenantDeps } from './settings.js';
import { accepted, findStack, lockStack, orderOperation, viewOf } from './stack.change.js';
import { findTenants, stackViews } from './stack.repository.js';

export interface StackListQuery {
  cursor?: string;
  limit?: number;
  q?: string;
  status?: string;
}

const PAGE = 50;
/** Rows one request looks through at most; a filtered page may then be short, and `next` goes on. */
const MOST_READ = 2_000;

/** What a subscriber may do with their own stacks and an operator with any. */
export class StackService {
  constructor(
    private readonly deps: TenantDeps,
    private readonly allocation: AllocationSettings,
  ) {}

  /**
   * Makes the rows of a new stack and enqueues its provisioning, all in one transaction. An operator may create one
   * for somebody else (`forAccount`). Throws ACCOUNT_NOT_ACTIVE, QUOTA_EXCEEDED, NO_CAPACITY, IMAGE_MISSING (no
   * release of the template is ready).
   */
  async create(actor: Actor, input: CreateStack, forAccount?: string): Promise<Accepted> {
    const who = requireActor(actor);
    if (forAccount !== undefined && who.kind !== 'operator') {
      throw new DomainError('FORBIDDEN');
    }
    return tx(this.deps.dataSource, async (db) => {
      const account = await this.lockAccount(db, forAccount ?? who.accountId);
      const plan = await this.planWithRoom(db, account);
      const release = await this.newestRelease(db, input.template);
      const { services } = release.definition as Template;
      const containers = {
        all: Object.keys(services).length,
        onEdge: servicesOnEdge(release.definition as Template).length,
      };
      await requireRoom(db, this.allocation.engineId, placementOf(plan.limits, containers), {
        pool: this.allocation.pool,
      });
      const tenant = await this.insertTenant(db, { account, plan, release, name: input.name });
      const operation = await startOperation(db, this.deps.queue, {
        tenant,
        kind: 'provision',
        actor,
        now: this.deps.now(),
      });
      await appendAudit(db, {
        actor,
        action: 'stack.create',
        target: { kind: 'stack', id: tenant.id },
        after: { slug: tenant.slug, release: release.id, limits: tenant.limits },
      });
      return accepted(db, this.deps, tenant, operation.id);
    });
  }

  async list(actor: Actor, query: StackListQuery = {}): Promise<StackList> {
    const limit = Math.min(Math.max(query.limit ?? PAGE, 1), PAGE);
    const db = this.deps.dataSource.manager;
    const items: StackView[] = [];
    let after = query.cursor;
    const rows = query.status === undefined ? limit : PAGE;
    // A status is worked out, not stored: rows are read until the page is full of those that have it.
    for (let read = 0; read < MOST_READ; read += rows) {
      const found = await findTenants(db, {
        accountId: ownerScope(actor),
        limit: rows + 1,
        ...(query.q === undefined ? {} : { q: query.q }),
        ...(after === undefined ? {} : { after }),
      });
      const views = await stackViews(db, found.slice(0, rows), this.deps.places, this.deps.now());
      for (const [at, view] of views.entries()) {
        if (query.status !== undefined && view.status !== query.status) {
          continue;
        }
        items.push(view);
        if (items.length === limit) {
          return { items, next: at + 1 < found.length ? view.id : null };
        }
      }
      if (found.length <= rows) {
        return { items, next: null };
      }
      after = views.at(-1)?.id;
    }
    return { items, next: after ?? null };
  }

  async get(actor: Actor, slug: string): Promise<StackView> {
    const db = this.deps.dataSource.manager;
    return viewOf(db, this.deps, await findStack(db, actor, slug));
  }

  /**
   * Changes what is wanted and enqueues the operation that makes it so. Destroy is legal from every state; what would
   * run a stack is refused while somebody holds it.
   */
  async request(actor: Actor, slug: string, kind: 'start' | 'stop' | 'restart' | 'destroy'): Promise<Accepted> {
    return tx(this.deps.dataSource, async (db) =>
      orderOperation(db, this.deps, { tenant: await lockStack(db, actor, slug, kind), kind, actor }),
    );
  }

  /** The row lock makes the count of stacks below exact for two creations at once. */
  private async lockAccount(db: EntityManager, accountId: string): Promise<AccountEntity> {
    const account = await db.findOne(AccountEntity, { where: { id: accountId }, lock: { mode: 'pessimistic_write' } });
    if (!account) {
      throw new DomainError('NOT_FOUND', { message: 'There is no such account.' });
    }
    if (account.state !== 'active') {
      throw new DomainError(account.state === 'pending' ? 'EMAIL_NOT_VERIFIED' : 'ACCOUNT_NOT_ACTIVE', {
        details: { state: account.state },
      });
    }
    return account;
  }

  private async planWithRoom(db: EntityManager, account: AccountEntity): Promise<PlanEntity> {
    const plan = await db.findOneByOrFail(PlanEntity, { id: account.planId });
    const used = await db.countBy(TenantEntity, { accountId: account.id });
    if (used >= plan.stacks) {
      throw new DomainError('QUOTA_EXCEEDED', {
        message: `The plan ${plan.name} has room for ${plan.stacks} ${plan.stacks === 1 ? 'stack' : 'stacks'}, and ${used} exist.`,
        details: { limit: 'stacks', allowed: plan.stacks, used, plan: plan.code },
      });
    }
    return plan;
  }

  private async newestRelease(db: EntityManager, template: string): Promise<ReleaseEntity> {
    const release = await newestStable(db, template);
    if (!release) {
      throw new DomainError('IMAGE_MISSING', {
        message: `No release of the template ${template} is ready. Operators see why with: aviary doctor.`,
        details: { template },
      });
    }
    return release;
  }

  private async insertTenant(
    db: EntityManager,
    input: { account: AccountEntity; plan: PlanEntity; release: ReleaseEntity; name: string | undefined },
  ): Promise<TenantEntity> {
    const { account, plan, release } = input;
    const now = this.deps.now();
    const engine = await db.findOneByOrFail(EngineEntity, { id: this.allocation.engineId });
    const slug = `u${randomBase32(6)}`;
    const tenant = db.create(TenantEntity, {
      id: newId(),
      accountId: account.id,
      engineId: engine.id,
      slug,
      name: input.name ?? `${account.username}’s stack`,
      template: release.template,
      releaseId: release.id,
      limits: stackLimitsSchema.parse(plan.limits),
      desired: 'running',
      generation: 1,
      provisioningGeneration: 1,
      epoch: 1,
      publicKey: null,
      observed: 'none',
      observedSince: now,
      checkedAt: null,
      reason: null,
      reasonCode: null,
      reasonParams: null,
      createdAt: now,
    });
    await db.insert(TenantEntity, tenant);
    const template = release.definition as Template;
    await allocateAddresses(db, this.allocation, tenant.id, servicesOnEdge(template));
    await db.insert(
      HostnameEntity,
      template.aviary.routes.map((route) => ({
        host: stackHost(route.host, slug, this.deps.places.tenantDomain),
        tenantId: tenant.id,
        kind: route.host,
      })),
    );
    return tenant;
  }
}

export function servicesOnEdge(template: Template): string[] {
  return Object.entries(template.services)
    .filter(([, service]) => service.networks.includes('edge'))
    .map(([name]) => name)
    .toSorted();
}
