import type { EntityManager } from 'typeorm';
import { appendAudit } from '#libs/audit';
import {
  DomainError,
  isSilent,
  stackLimitsSchema,
  type Accepted,
  type Actor,
  type AllowTrading,
  type CloneStack,
  type CreateStack,
  type StackList,
  type StackView,
} from '#libs/contracts';
import { randomBase32 } from '#libs/crypto';
import {
  AccountEntity,
  BackupEntity,
  EngineEntity,
  HostnameEntity,
  newId,
  PlanEntity,
  ReleaseEntity,
  TenantEntity,
  tx,
  type Tx,
} from '#libs/db';
import { allocateAddresses } from './allocate.js';
import { requireRoom } from './capacity.js';
import { ownerScope, requireActor } from './authorise.js';
import { requireVerified } from './backup.repository.js';
import { placementOf } from './domain/capacity.js';
import { stackHost } from './domain/names.js';
import { takesCopies, takesCopyOf } from './domain/release-rules.js';
import type { Template } from './domain/template.js';
import { newestStable } from './offered-upgrades.js';
import { requireNoPrune, startOperation } from './operation.start.js';
import type { AllocationSettings, TenantDeps } from './settings.js';
import { accepted, findStack, lockStack, orderOperation, requireNotHeld, viewOf } from './stack.change.js';
import { findTenants, stackViews } from './stack.repository.js';

export interface StackListQuery {
  cursor?: string;
  limit?: number;
  q?: string;
  status?: string;
}

interface NewStack {
  actor: Actor;
  account: AccountEntity;
  release: ReleaseEntity;
  engineId: string;
  name: string | undefined;
  /** Of which backup of which stack it is made; null for one that begins empty. */
  copy: { backup: string; from: NonNullable<TenantEntity['clonedFrom']> } | null;
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
      const release = await this.newestRelease(db, input.template);
      const { engineId } = this.allocation;
      return this.make(db, { actor, account, release, engineId, name: input.name, copy: null });
    });
  }

  /**
   * A new stack of the same owner out of a verified backup of this one: own name, own secrets, own network. Nothing of
   * it may trade until that is allowed: two stacks must never trade one account. It is made on the engine of this one
   * where an operator names no other. Throws what `create` throws, NOT_FOUND for a backup of another stack, WRONG_STATE
   * for one that was not restored and checked and of a stack that is suspended or being destroyed, TENANT_BUSY while
   * backups of it are removed, FORBIDDEN for a subscriber who names an engine, VALIDATION_FAILED where there is none of
   * that name, and UNAVAILABLE where nothing is heard of its agent.
   */
  async clone(actor: Actor, slug: string, { backup: id, name, engine }: CloneStack): Promise<Accepted> {
    return tx(this.deps.dataSource, async (db) => {
      const source = await lockStack(db, actor, slug, 'clone');
      await requireNotHeld(db, source, 'clone');
      await requireNoPrune(db, source);
      const backup = await requireVerified(db, source, id);
      const account = await this.lockAccount(db, source.accountId);
      const release = await this.releaseOfCopy(db, backup);
      const engineId = engine === undefined ? source.engineId : await this.namedEngine(db, actor, engine);
      const takenAt = backup.takenAt.toISOString();
      return this.make(db, {
        actor,
        account,
        release,
        engineId,
        name: name ?? `Copy of ${source.name}`.slice(0, 60),
        copy: { backup: id, from: { tenant: source.id, slug, takenAt } },
      });
    });
  }

  /**
   * Lets a copy trade by a restart, from which its runtime knows; its bots stay paused until each is resumed. Cancelled
   * before it comes so far, it may not trade as before. Throws WRONG_STATE where it trades already, or does not run.
   */
  async allowTrading(actor: Actor, slug: string, { confirm }: AllowTrading): Promise<Accepted> {
    if (confirm !== slug) {
      throw new DomainError('VALIDATION_FAILED', {
        details: { fields: { confirm: ['Name the stack that is to trade.'] } },
      });
    }
    return tx(this.deps.dataSource, async (db) => {
      const tenant = await lockStack(db, actor, slug, 'restart');
      const trades = tenant.tradingHeldSince === null;
      if (trades || tenant.desired !== 'running') {
        throw new DomainError('WRONG_STATE', {
          message: trades ? `${slug} may trade already.` : `${slug} does not run. Start it first.`,
          details: { why: trades ? 'trades' : 'not_running' },
        });
      }
      return orderOperation(db, this.deps, {
        tenant,
        kind: 'restart',
        actor,
        // Its row is changed, and the audit says so, by the restart itself: what is cancelled before changed nothing.
        input: { allowTrading: true },
      });
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
   * Changes what is wanted and enqueues the operation that makes it so. Destroy is legal from every state, and refused
   * (TENANT_BUSY) while a copy is made of a backup; what would run a stack is refused while somebody holds it.
   */
  async request(actor: Actor, slug: string, kind: 'start' | 'stop' | 'restart' | 'destroy'): Promise<Accepted> {
    return tx(this.deps.dataSource, async (db) =>
      orderOperation(db, this.deps, { tenant: await lockStack(db, actor, slug, kind), kind, actor }),
    );
  }

  private async make(db: Tx, { actor, account, release, engineId, name, copy }: NewStack): Promise<Accepted> {
    const plan = await this.planWithRoom(db, account);
    const { services } = release.definition as Template;
    const containers = {
      all: Object.keys(services).length,
      onEdge: servicesOnEdge(release.definition as Template).length,
    };
    await requireRoom(db, engineId, placementOf(plan.limits, containers), { pool: this.allocation.pool });
    const tenant = await this.insertTenant(db, { account, plan, release, engineId, name, from: copy?.from ?? null });
    const operation = await startOperation(db, this.deps.queue, {
      tenant,
      kind: copy === null ? 'provision' : 'clone',
      actor,
      now: this.deps.now(),
      ...(copy === null ? {} : { input: { backup: copy.backup, source: copy.from.tenant } }),
    });
    await appendAudit(db, {
      actor,
      action: copy === null ? 'stack.create' : 'stack.clone',
      target: { kind: 'stack', id: tenant.id },
      after: {
        slug: tenant.slug,
        engine: engineId,
        release: release.id,
        limits: tenant.limits,
        ...(copy === null ? {} : { ...copy }),
      },
    });
    return accepted(db, this.deps, tenant, operation.id);
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

  /** One that somebody asks for by name. What is asked of an engine whose agent is silent would wait for nobody. */
  private async namedEngine(db: EntityManager, actor: Actor, id: string): Promise<string> {
    if (requireActor(actor).kind !== 'operator') {
      throw new DomainError('FORBIDDEN', { message: 'Only an operator says on which host a stack is made.' });
    }
    const engines = await db.find(EngineEntity, { order: { id: 'ASC' } });
    const engine = engines.find((one) => one.id === id);
    if (!engine) {
      throw new DomainError('VALIDATION_FAILED', {
        message: `There is no engine ${id}. There are: ${engines.map((one) => one.id).join(', ')}.`,
        details: { fields: { engine: ['Name one of those that aviary fleet show lists.'] } },
      });
    }
    if (isSilent(engine.seenAt, this.deps.now())) {
      throw new DomainError('UNAVAILABLE', {
        message: `The agent of the engine ${id} was last heard of at ${engine.seenAt.toISOString()}, so nothing can be made there. Start it, or choose another engine.`,
        details: { engine: id, seenAt: engine.seenAt.toISOString() },
      });
    }
    return id;
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

  /**
   * The one it was taken with, as long as it is offered: no newer one has to adapt data that nobody looked at. One from
   * before copies would neither take the data nor keep from trading. Throws IMAGE_MISSING where the newest one cannot
   * take that data.
   */
  private async releaseOfCopy(db: EntityManager, { releaseId }: BackupEntity): Promise<ReleaseEntity> {
    const taken = await db.findOneByOrFail(ReleaseEntity, { id: releaseId });
    if (taken.state !== 'withdrawn' && takesCopies(taken)) {
      return taken;
    }
    const newest = await this.newestRelease(db, taken.template);
    if (!takesCopyOf(taken, newest)) {
      throw new DomainError('IMAGE_MISSING', {
        message: `No release of the template ${taken.template} that is ready takes the data of this backup for a copy. Upgrade the platform first.`,
        details: { template: taken.template, release: newest.id },
      });
    }
    return newest;
  }

  private async insertTenant(
    db: EntityManager,
    input: Pick<NewStack, 'account' | 'release' | 'engineId' | 'name'> & {
      plan: PlanEntity;
      from: TenantEntity['clonedFrom'];
    },
  ): Promise<TenantEntity> {
    const { account, plan, release, engineId, from } = input;
    const now = this.deps.now();
    const slug = `u${randomBase32(6)}`;
    const tenant = db.create(TenantEntity, {
      id: newId(),
      accountId: account.id,
      engineId,
      slug,
      name: input.name ?? `${account.username}’s stack`,
      template: release.template,
      releaseId: release.id,
      limits: stackLimitsSchema.parse(plan.limits),
      desired: 'running',
      generation: 1,
      // The data of a copy is there before its runtime is: an empty database would mean that it is lost.
      provisioningGeneration: from === null ? 1 : 0,
      clonedFrom: from,
      tradingHeldSince: from === null ? null : now,
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
    await allocateAddresses(db, { engineId, pool: this.allocation.pool }, tenant.id, servicesOnEdge(template));
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
