import { In } from 'typeorm';
import { appendAudit } from '#libs/audit';
import {
  DomainError,
  OPEN_OPERATION_STATES,
  type Accepted,
  type Actor,
  type BackupAccepted,
  type BackupList,
  type BackupProblem,
  type BackupView,
  type FleetBackups,
  type RestoreStack,
  type TakeBackup,
  type UndoRestore,
} from '#libs/contracts';
import { BackupEntity, OperationEntity, tx } from '#libs/db';
import { requireActor } from './authorise.js';
import {
  backupViews,
  findBackups,
  NEWEST,
  noSuchBackup,
  requireReadable,
  requireVerified,
  standings,
} from './backup.repository.js';
import { backupProblem, safeguards } from './domain/backup-rules.js';
import { newestExport } from './exports/export.repository.js';
import { keptData, undoRestore } from './kept-data.js';
import { operationViews } from './operation.repository.js';
import { openOperation, startOperation } from './operation.start.js';
import type { TenantDeps } from './settings.js';
import { findStack, lockStack, orderOperation } from './stack.change.js';

const PAGE = 50;

const WHY_NOT: Record<BackupProblem, string> = {
  not_running:
    'The stack does not run, so its database cannot be read. Start it first; the backups there are stay as they are.',
  data_missing: 'The data of this stack is gone, so there is nothing to back up. Restore one of its backups.',
};

interface FleetRow {
  id: string;
  slug: string;
  name: string;
  owner: string;
  takenAt: Date | null;
  verifiedAt: Date | null;
  sameUntil: Date | null;
  maxAgeHours: number;
  newest: string | null;
}

/** Backups of stacks, as people see and ask for them. */
export class BackupService {
  constructor(private readonly deps: TenantDeps) {}

  async list(actor: Actor, slug: string, query: { cursor?: string; limit?: number } = {}): Promise<BackupList> {
    const limit = Math.min(Math.max(query.limit ?? PAGE, 1), PAGE);
    const db = this.deps.dataSource.manager;
    const tenant = await findStack(db, actor, slug);
    const found = await findBackups(db, tenant.id, { after: query.cursor, limit: limit + 1 });
    const page = found.slice(0, limit);
    const standing = (await standings(db, [tenant.id])).get(tenant.id);
    const open = await db.findOneBy(OperationEntity, {
      tenantId: tenant.id,
      kind: In(['backup', 'restore', 'undo_restore', 'prune']),
      state: In([...OPEN_OPERATION_STATES]),
    });
    const now = this.deps.now();
    const [operation] = open ? await operationViews(db, [open], now) : [];
    return {
      items: await backupViews(db, page, { slugOf: () => slug, now }),
      next: found.length > limit ? (page.at(-1)?.id ?? null) : null,
      verifiedUntil: standing?.takenAt ?? null,
      verifiedAt: standing?.verifiedAt ?? null,
      sameUntil: standing?.sameUntil ?? null,
      open: operation ?? null,
      problem: backupProblem(tenant),
      safeguards: safeguards(tenant),
      kept: await keptData(db, tenant, now),
      export: await newestExport(db, tenant.id, now),
    };
  }

  async get(actor: Actor, slug: string, id: string): Promise<BackupView> {
    const db = this.deps.dataSource.manager;
    const tenant = await findStack(db, actor, slug);
    const found = await db.findBy(BackupEntity, { id, tenantId: tenant.id });
    const [view] = await backupViews(db, found, { slugOf: () => slug, now: this.deps.now() });
    if (!view) {
      throw noSuchBackup(id, slug);
    }
    return view;
  }

  /** The newest that counts. Throws WRONG_STATE where there is none yet. */
  async newestVerified(actor: Actor, slug: string): Promise<{ id: string; takenAt: string }> {
    const db = this.deps.dataSource.manager;
    const tenant = await findStack(db, actor, slug);
    const newest = await db.findOne(BackupEntity, {
      where: { tenantId: tenant.id, state: 'verified' },
      order: { takenAt: 'DESC' },
    });
    if (!newest?.takenAt) {
      throw new DomainError('WRONG_STATE', {
        message: `No backup of ${slug} counts yet. Take one first: aviary backup take ${slug}.`,
        details: { why: 'not_verified' },
      });
    }
    return { id: newest.id, takenAt: newest.takenAt.toISOString() };
  }

  /**
   * Takes one beside the stack, which goes on, with what its services logged last where that is asked for. Throws WRONG_STATE (details.why is a BackupProblem) where there is
   * nothing to read, TENANT_BUSY while the stack itself is being changed or another backup of it is under way.
   */
  async take(actor: Actor, slug: string, { logs = false }: TakeBackup = {}): Promise<BackupAccepted> {
    return tx(this.deps.dataSource, async (db) => {
      const tenant = await lockStack(db, actor, slug, 'backup');
      // What is at work on the stack says better why not than how it stood before.
      const problem = (await openOperation(db, tenant.id)) ? null : backupProblem(tenant);
      if (problem !== null) {
        throw new DomainError('WRONG_STATE', { message: WHY_NOT[problem], details: { why: problem } });
      }
      const now = this.deps.now();
      const operation = await startOperation(db, this.deps.queue, {
        tenant,
        kind: 'backup',
        actor,
        input: { reason: 'manual', ...(logs ? { logs } : {}) },
        now,
      });
      await appendAudit(db, {
        actor,
        action: 'stack.backup',
        target: { kind: 'stack', id: tenant.id },
        after: { slug, operation: operation.id, ...(logs ? { logs } : {}) },
      });
      const [view] = await operationViews(db, [operation], now);
      if (!view) {
        throw new DomainError('NOT_FOUND');
      }
      // Its row is made when it is begun.
      return { backup: null, operation: view };
    });
  }

  /**
   * Puts the data of that backup in the place of the stack's. What runs is backed up before; whether it runs
   * afterwards is as before, so that a suspended stack may be restored too. Throws NOT_FOUND for a backup of another
   * stack, WRONG_STATE for one that was not restored and checked, or was taken with a later major version of the
   * database than the stack has (details.why `newer_database`), TENANT_BUSY.
   */
  async restore(actor: Actor, slug: string, { backup: id, confirm }: RestoreStack): Promise<Accepted> {
    if (confirm !== slug) {
      throw new DomainError('VALIDATION_FAILED', {
        details: { fields: { confirm: ['Name the stack whose data is to be replaced.'] } },
      });
    }
    return tx(this.deps.dataSource, async (db) => {
      const tenant = await lockStack(db, actor, slug, 'restore');
      const { takenAt, manifest } = await requireVerified(db, tenant, id);
      await requireReadable(db, tenant, manifest);
      return orderOperation(db, this.deps, {
        tenant,
        kind: 'restore',
        actor,
        input: { backup: id },
        after: { backup: id, takenAt: takenAt.toISOString() },
        leaveOut: safeguards(tenant) ? [] : ['safeguard'],
      });
    });
  }

  undoRestore(actor: Actor, slug: string, body: UndoRestore): Promise<Accepted> {
    return undoRestore(this.deps, actor, slug, body);
  }

  /** Every stack with how old its data is that is certain to come back; for operators. */
  async fleet(actor: Actor, query: { cursor?: string; limit?: number } = {}): Promise<FleetBackups> {
    if (requireActor(actor).kind !== 'operator') {
      throw new DomainError('FORBIDDEN');
    }
    const limit = Math.min(Math.max(query.limit ?? PAGE, 1), PAGE);
    const db = this.deps.dataSource.manager;
    const now = this.deps.now();
    const rows = await db.query<FleetRow[]>(
      `with stacks as (
         select t.id, t.slug, t.name, a.username as owner, good.taken_at, good.verified_at, good.same_until,
                p.backup_max_age_hours as max_age,
                coalesce(good.taken_at, '-infinity') as age_key,
                (select b.id from backups b where b.tenant_id = t.id order by b.id desc limit 1) as newest
           from tenants t join accounts a on a.id = t.account_id join plans p on p.id = a.plan_id ${NEWEST})
       select id, slug, name, owner, taken_at as "takenAt", verified_at as "verifiedAt", same_until as "sameUntil",
              max_age as "maxAgeHours", newest from stacks
        where $2::uuid is null or (age_key, id) > (select age_key, id from stacks where id = $2)
        order by age_key, id limit $1`,
      [limit + 1, query.cursor ?? null],
    );
    const [counts] = await db.query<FleetBackups['counts'][]>(
      `select count(*)::int as stacks, count(*) filter (where good.taken_at >= $1::timestamptz - p.backup_max_age_hours * interval '1 hour')::int as fresh,
              count(*) filter (where good.taken_at is null)::int as never,
              count(*) filter (where ended.failed)::int as failed
         from tenants t join accounts a on a.id = t.account_id join plans p on p.id = a.plan_id ${NEWEST}`,
      [now],
    );
    const page = rows.slice(0, limit);
    const slugs = new Map(page.map(({ id, slug }) => [id, slug]));
    const newest = await db.findBy(BackupEntity, { id: In(page.flatMap(({ newest: id }) => id ?? [])) });
    const slugOf = (id: string): string => slugs.get(id) ?? '';
    const views = new Map((await backupViews(db, newest, { slugOf, now })).map((view) => [view.id, view]));
    return {
      at: now.toISOString(),
      counts: counts ?? { stacks: 0, fresh: 0, never: 0, failed: 0 },
      items: page.map(({ slug, name, owner, takenAt, verifiedAt, sameUntil, maxAgeHours, newest: id }) => ({
        slug,
        name,
        owner,
        verifiedUntil: takenAt?.toISOString() ?? null,
        verifiedAt: verifiedAt?.toISOString() ?? null,
        sameUntil: sameUntil?.toISOString() ?? null,
        ageSeconds: takenAt && Math.max(0, Math.round((now.getTime() - takenAt.getTime()) / 1_000)),
        maxAgeSeconds: maxAgeHours * 3_600,
        newest: views.get(id ?? '') ?? null,
      })),
      next: rows.length > limit ? (page.at(-1)?.id ?? null) : null,
    };
  }
}
