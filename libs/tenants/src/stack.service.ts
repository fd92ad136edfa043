import type { EntityManager } from 'typeorm';
import { appendAudit } from '#libs/audit';
import {
  DomainError,
  stackLimitsSchema,
  type Accepted,
  type Actor,
  type CreateStack,
  type OperationKind,
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
import { ownerScope, requireActor } from './authorise.js';
import { DESIRED_AFTER } from './domain/operation-rules.js';
import { stackHost } from './domain/names.js';
import type { Template } from './domain/template.js';
import { startOperation } from './operation.start.js';
import type { AllocationSettings, TenantDeps } from './settings.js';
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
      return this.accepted(db, tenant, operation.id);
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
    return this.viewOf(db, await this.find(db, actor, slug));
  }

  /** Changes what is wanted and enqueues the operation that makes it so. Destroy is legal from every state. */
  async request(actor: Actor, slug: string, kind: Exclude<OperationKind, 'provision'>): Promise<Accepted> {
    return tx(this.deps.dataSource, async (db) => {
      // The lock comes first: two requests at once queue up here, and what is read below is what the first one left.
      await db.query('select from tenants where slug = $1 and ($2::uuid is null or account_id = $2) for update', [
        slug,
        ownerScope(actor),
      ]);
      const tenant = await this.find(db, actor, slug);
      if (tenant.desired === 'deleted' && kind !== 'destroy') {
        throw new DomainError('WRONG_STATE', {
          message: `${slug} is being destroyed.`,
          details: { why: 'destroying', desired: tenant.desired },
        });
      }
      const before = { desired: tenant.desired };
      const operation = await startOperation(db, this.deps.queue, { tenant, kind, actor, now: this.deps.now() });
      const desired = DESIRED_AFTER[kind];
      await db.update(TenantEntity, { id: tenant.id }, { desired });
      await appendAudit(db, {
        actor,
        action: `stack.${kind}`,
        target: { kind: 'stack', id: tenant.id },
        before,
        after: { desired, slug },
      });
      tenant.desired = desired;
      return this.accepted(db, tenant, operation.id);
    });
  }

  private async find(db: EntityManager, actor: Actor, slug: string): Promise<TenantEntity> {
    const [tenant] = await findTenants(db, { accountId: ownerScope(actor), slug, limit: 1 });
    if (!tenant) {
      throw new DomainError('NOT_FOUND', { message: `There is no stack ${slug}, or it is not yours.` });
    }
    return tenant;
  }

  private async viewOf(db: EntityManager, tenant: TenantEntity): Promise<StackView> {
    const [view] = await stackViews(db, [tenant], this.deps.places, this.deps.now());
    if (!view) {
      throw new DomainError('NOT_FOUND');
    }
    return view;
  }

  private async accepted(db: EntityManager, tenant: TenantEntity, operationId: string): Promise<Accepted> {
    const stack = await this.viewOf(db, tenant);
    if (stack.openOperation?.id !== operationId) {
      throw new DomainError('LOST_RACE');
    }
    return { stack, operation: stack.openOperation };
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
    const release = await db.findOne(ReleaseEntity, {
      where: { template, state: 'stable' },
      order: { createdAt: 'DESC' },
    });
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
