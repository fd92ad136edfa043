import { In } from 'typeorm';
import { appendAudit } from '#libs/audit';
import {
  actorName,
  DomainError,
  OPEN_PORTAL_BACKUP_STATES,
  type Actor,
  type PortalBackups,
  type PortalBackupReason,
  type PortalBackupView,
} from '#libs/contracts';
import { newId, PortalBackupEntity, tx, type Database, type Tx } from '#libs/db';
import { z } from 'zod';
import { requireActor } from './authorise.js';
import { portalBackupAge, portalBackupFindings, type PortalBackupRules } from './portal-backup-freshness.js';

const SHOWN = 30;

const iso = (date: Date | null): string | null => date?.toISOString() ?? null;

/** What is shown of a manifest; one that another version wrote otherwise shows no figures. */
const countedSchema = z.object({
  masterKey: z.string().nullable().optional(),
  database: z.object({ tables: z.array(z.object({ rows: z.int() })) }),
});

/** Backups of the portal's own database, as operators see and ask for them; agents take them. */
export class PortalBackupService {
  constructor(
    private readonly database: Database,
    private readonly rules: PortalBackupRules,
    private readonly now: () => Date,
  ) {}

  async list(actor: Actor): Promise<PortalBackups> {
    requireOperator(actor);
    const { manager } = this.database;
    const rows = await manager.find(PortalBackupEntity, { order: { id: 'DESC' }, take: SHOWN });
    const now = this.now();
    const findings = await portalBackupFindings(this.database, this.rules, now);
    return {
      items: rows.map(portalBackupView),
      next: null,
      verifiedUntil: iso((await portalBackupAge(this.database, now)).takenAt),
      problems: findings.map(({ message }) => message),
    };
  }

  async get(actor: Actor, id: string): Promise<PortalBackupView> {
    requireOperator(actor);
    const row = await this.database.manager.findOneBy(PortalBackupEntity, { id });
    if (row === null) {
      throw new DomainError('NOT_FOUND', { message: `There is no backup ${id} of the portal any more.` });
    }
    return portalBackupView(row);
  }

  /** Asks for one; asked for while one is open, it is that one. */
  async take(actor: Actor): Promise<PortalBackupView> {
    const operator = requireOperator(actor);
    const asking = { actor: operator, reason: 'manual' as const, now: this.now() };
    return portalBackupView(await tx(this.database, (db) => askForPortalBackup(db, asking)));
  }
}

export async function askForPortalBackup(
  db: Tx,
  { actor, reason, now }: { actor: Actor; reason: PortalBackupReason; now: Date },
): Promise<PortalBackupEntity> {
  // One that asks at the same moment waits here until the other's row is there.
  await db.query(`select pg_advisory_xact_lock(hashtext('aviary-portal-backup'))`);
  const open = await db.findOneBy(PortalBackupEntity, { state: In([...OPEN_PORTAL_BACKUP_STATES]) });
  if (open !== null) {
    return open;
  }
  const row = Object.assign(new PortalBackupEntity(), {
    id: newId(),
    singleton: true,
    state: 'asked',
    reason,
    askedBy: actorName(actor),
    askedAt: now,
    begunAt: null,
    takenAt: null,
    storedAt: null,
    verifiedAt: null,
    tries: 0,
    parts: [],
    manifest: null,
    error: null,
  } satisfies PortalBackupEntity);
  await db.insert(PortalBackupEntity, row);
  if (actor.kind !== 'system') {
    await appendAudit(db, { actor, action: 'portal.backup', target: { kind: 'platform', id: row.id } });
  }
  return row;
}

export function portalBackupView(row: PortalBackupEntity): PortalBackupView {
  const counted = countedSchema.safeParse(row.manifest);
  const tables = counted.success ? counted.data.database.tables : null;
  const { parts } = row;
  return {
    id: row.id,
    state: row.state,
    reason: row.reason,
    askedBy: row.askedBy,
    askedAt: row.askedAt.toISOString(),
    takenAt: iso(row.takenAt),
    storedAt: iso(row.storedAt),
    verifiedAt: iso(row.verifiedAt),
    bytes: parts.length === 0 ? null : parts.reduce((sum, { bytes }) => sum + bytes, 0),
    addedBytes: parts.length === 0 ? null : parts.reduce((sum, { addedBytes }) => sum + addedBytes, 0),
    tables: tables?.length ?? null,
    rows: tables?.reduce((sum, { rows }) => sum + rows, 0) ?? null,
    masterKey: counted.success ? (counted.data.masterKey ?? null) : null,
    error: row.error,
  };
}

function requireOperator(actor: Actor): Actor {
  const person = requireActor(actor);
  if (person.kind !== 'operator') {
    throw new DomainError('FORBIDDEN');
  }
  return person;
}
