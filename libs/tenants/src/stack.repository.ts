import type { EntityManager } from 'typeorm';
import { httpsOrigin } from '#libs/config';
import type { HoldReason, OperationView, StackView } from '#libs/contracts';
import { AccountEntity, HeartbeatEntity, HoldEntity, StackWarningEntity, TenantEntity } from '#libs/db';
import { warningView } from './stack-warnings.js';
import { headline } from './domain/headline.js';
import { healthLayers } from './domain/health-layers.js';
import { PAST_OPERATIONS, type PastOperation } from './domain/repair-rules.js';
import { whatNext } from './domain/what-next.js';
import { stackHost } from './domain/names.js';
import { servicesOf, type Template } from './domain/template.js';
import { standings } from './backup.repository.js';
import { offeredUpgrades, releasesOf } from './offered-upgrades.js';
import { openOperations } from './operation.repository.js';
import { DID_SOMETHING } from './past-operations.js';
import type { Places } from './settings.js';

interface ListFilter {
  /** Only this account's stacks; null lists everybody's, for operators. */
  accountId: string | null;
  slug?: string;
  q?: string;
  /** Id of the last row of the page before. */
  after?: string;
  limit: number;
}

/** Newest first: ids grow with time, so the pages keep their order while stacks come and go. */
export async function findTenants(db: EntityManager, filter: ListFilter): Promise<TenantEntity[]> {
  const query = db.createQueryBuilder(TenantEntity, 'tenant').orderBy('tenant.id', 'DESC').limit(filter.limit);
  if (filter.accountId !== null) {
    query.andWhere('tenant.accountId = :account', { account: filter.accountId });
  }
  if (filter.slug !== undefined) {
    query.andWhere('tenant.slug = :slug', { slug: filter.slug });
  }
  if (filter.q) {
    const like = `%${filter.q.replace(/[\\%_]/g, '\\$&')}%`;
    query.leftJoin(AccountEntity, 'account', 'account.id = tenant.accountId');
    query.andWhere(
      '(tenant.slug ilike :like or tenant.name ilike :like or account.username ilike :like or account.email ilike :like)',
      { like },
    );
  }
  if (filter.after !== undefined) {
    query.andWhere('tenant.id < :after', { after: filter.after });
  }
  return query.getMany();
}

const iso = (date: Date | null): string | null => date?.toISOString() ?? null;

function groupBy<T>(rows: readonly T[], key: (row: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const row of rows) {
    groups.set(key(row), [...(groups.get(key(row)) ?? []), row]);
  }
  return groups;
}

/** Of those of the stacks that are not as wanted, what `pastOperations` gives of one. */
async function pastOfBroken(db: EntityManager, ids: readonly string[]): Promise<Map<string, PastOperation[]>> {
  const rows: (PastOperation & { tenantId: string })[] = await db.query(
    `select o.tenant_id as "tenantId", o.kind, o.state, o.finished_at as "finishedAt"
       from tenants t cross join lateral (
         select * from operations o
          where o.tenant_id = t.id and o.exclusive and ${DID_SOMETHING}
          order by o.created_at desc, o.id desc limit $2) o
      where t.id = any($1) and not (t.desired = 'running' and t.observed = 'running')
        and not (t.desired in ('stopped', 'hibernated') and t.observed in ('stopped', 'none'))
      order by o.created_at desc, o.id desc`,
    [ids, PAST_OPERATIONS],
  );
  return groupBy(rows, ({ tenantId }) => tenantId);
}

/** Views of many stacks by a fixed number of queries. */
export async function stackViews(
  db: EntityManager,
  tenants: readonly TenantEntity[],
  places: Places,
  now: Date,
): Promise<StackView[]> {
  if (tenants.length === 0) {
    return [];
  }
  const ids = tenants.map((tenant) => tenant.id);
  const holds = groupBy(
    await db.createQueryBuilder(HoldEntity, 'hold').where('hold.tenantId in (:...ids)', { ids }).getMany(),
    (row) => row.tenantId,
  );
  const beats = groupBy(
    await db.createQueryBuilder(HeartbeatEntity, 'beat').where('beat.tenantId in (:...ids)', { ids }).getMany(),
    (row) => row.tenantId,
  );
  const warnings = groupBy(
    await db
      .createQueryBuilder(StackWarningEntity, 'warning')
      .where('warning.tenantId in (:...ids) and warning.overAt is null', { ids })
      .orderBy('warning.since')
      .getMany(),
    (row) => row.tenantId,
  );
  const releases = await releasesOf(db, tenants);
  const owners = groupBy(
    await db
      .createQueryBuilder(AccountEntity, 'account')
      .select(['account.id', 'account.username'])
      .where('account.id in (:...ids)', { ids: tenants.map((tenant) => tenant.accountId) })
      .getMany(),
    (row) => row.id,
  );
  const operations = new Map(
    (await openOperations(db, ids, now)).map((view): [string, OperationView] => [view.stackId, view]),
  );
  const past = await pastOfBroken(db, ids);
  const backups = await standings(db, ids);
  const upgrades = await offeredUpgrades(db, tenants, releases);
  return tenants.map((tenant) => {
    const operation = operations.get(tenant.id) ?? null;
    const held = holds.get(tenant.id) ?? [];
    const reasons = held.map((row): HoldReason => row.reason);
    const beat = beats.get(tenant.id)?.[0];
    const release = releases.get(tenant.releaseId);
    const status = headline({
      desired: tenant.desired,
      holds: reasons,
      observed: tenant.observed,
      checkedAt: tenant.checkedAt,
      operation: operation && { kind: operation.kind, started: operation.state === 'running' },
      now,
    });
    return {
      id: tenant.id,
      slug: tenant.slug,
      name: tenant.name,
      owner: owners.get(tenant.accountId)?.[0]?.username ?? '',
      template: tenant.template,
      release: release?.version ?? '',
      upgrade: upgrades.get(tenant.id) ?? null,
      services: release === undefined ? [] : servicesOf(release.definition as Template),
      dashboardUrl: httpsOrigin(stackHost('dashboard', tenant.slug, places.tenantDomain), places.httpsPort),
      apiUrl: httpsOrigin(stackHost('api', tenant.slug, places.tenantDomain), places.httpsPort),
      desired: tenant.desired,
      holds: reasons,
      holdNote: held.find(({ reason }) => reason === 'operator')?.note ?? null,
      status,
      since: tenant.observedSince.toISOString(),
      checkedAt: iso(tenant.checkedAt),
      engine: tenant.engineId,
      reason: tenant.reason,
      reasonCode: tenant.reasonCode,
      reasonParams: tenant.reasonParams,
      layers: healthLayers({
        status,
        observed: tenant.observed,
        reasonCode: tenant.reasonCode,
        reasonParams: tenant.reasonParams,
      }),
      next: whatNext({
        status,
        desired: tenant.desired,
        holds: reasons,
        reasonCode: tenant.reasonCode,
        reasonParams: tenant.reasonParams,
        past: past.get(tenant.id) ?? [],
        now,
      }),
      warnings: (warnings.get(tenant.id) ?? []).map(warningView),
      limits: tenant.limits,
      clonedFrom: tenant.clonedFrom && { slug: tenant.clonedFrom.slug, takenAt: tenant.clonedFrom.takenAt },
      tradingHeldSince: iso(tenant.tradingHeldSince),
      createdAt: tenant.createdAt.toISOString(),
      openOperation: operation,
      backup: backups.get(tenant.id) ?? null,
      heartbeat: beat
        ? {
            at: beat.at.toISOString(),
            bots: beat.bots,
            runningBots: beat.runningBots,
            openOrders: beat.openOrders,
            equity: beat.equity,
          }
        : null,
    };
  });
}
