import { createHash } from 'node:crypto';
import { AuditEntryEntity, AuditSealEntity, tx, type Database, type Tx } from '#libs/db';
import { canonicalEntry, canonicalSeal, type SealedFields } from './domain/canonical.js';
import { CHAIN_START, checkSeals, type AuditFault, type ChainPosition } from './domain/chain.js';

/** Entries sealed in one transaction, and seals read in one page: bounds memory, not correctness. */
const PAGE = 500;

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

function sealedFields(entry: AuditEntryEntity): SealedFields {
  return {
    id: entry.id,
    at: entry.at.toISOString(),
    actorKind: entry.actorKind,
    actorId: entry.actorId,
    actorName: entry.actorName,
    via: entry.via,
    ip: entry.ip,
    sessionId: entry.sessionId,
    action: entry.action,
    targetKind: entry.targetKind,
    targetId: entry.targetId,
    before: entry.before,
    after: entry.after,
  };
}

async function head(inTx: Tx): Promise<ChainPosition> {
  const last = await inTx.getRepository(AuditSealEntity).find({ order: { seq: 'DESC' }, take: 1 });
  return last[0] ? { seq: last[0].seq, hash: last[0].hash } : CHAIN_START;
}

/**
 * Seals every entry that is committed and not sealed yet, oldest first, one sealer at a time. Returns the head of the
 * chain, which is worth writing down elsewhere: a chain cannot show that its own newest end was cut off.
 */
export async function sealAudit(
  database: Database,
  now: () => Date,
): Promise<{ sealed: number; head: { seq: number; hash: string } }> {
  let sealed = 0;
  for (;;) {
    const page = await tx(database, async (inTx) => {
      await inTx.query(`select pg_advisory_xact_lock(hashtext('aviary-audit-seal'))`);
      let at = await head(inTx);
      // An entry committed late has an older time than seals that exist: it is sealed now, wherever its time falls.
      const entries = await inTx
        .getRepository(AuditEntryEntity)
        .createQueryBuilder('entry')
        .where('not exists (select from audit_seals seal where seal.entry_id = entry.id)')
        .orderBy('entry.at')
        .addOrderBy('entry.id')
        .take(PAGE)
        .getMany();
      const seals = entries.map((entry) => {
        const entryHash = sha256(canonicalEntry(sealedFields(entry)));
        const seq = at.seq + 1;
        const hash = sha256(canonicalSeal({ seq, previous: at.hash, entryHash }));
        at = { seq, hash };
        return { seq, entryId: entry.id, entryHash, hash, sealedAt: now() };
      });
      if (seals.length > 0) {
        await inTx.insert(AuditSealEntity, seals);
      }
      return { count: seals.length, at };
    });
    sealed += page.count;
    if (page.count < PAGE) {
      return { sealed, head: page.at };
    }
  }
}

export interface AuditReport {
  ok: boolean;
  sealed: number;
  head: ChainPosition;
  faults: AuditFault[];
  /** Entries no seal covers yet; normal for the last minute, suspicious when old. */
  unsealed: { count: number; oldestAt: Date | null };
}

/** Follows the whole chain and says what does not fit: edited, removed or reordered rows, and the unsealed tail. */
export async function verifyAudit(database: Database): Promise<AuditReport> {
  // One snapshot, so that a sealer at work cannot look like a fault.
  return database.transaction('REPEATABLE READ', async (inTx) => {
    const faults: AuditFault[] = [];
    let at = CHAIN_START;
    let sealed = 0;
    for (;;) {
      const seals = await inTx
        .getRepository(AuditSealEntity)
        .createQueryBuilder('seal')
        .where('seal.seq > :seq', { seq: at.seq })
        .orderBy('seal.seq')
        .take(PAGE)
        .getMany();
      const entries = await inTx
        .getRepository(AuditEntryEntity)
        .createQueryBuilder('entry')
        .where('entry.id = any(:ids)', { ids: seals.map((seal) => seal.entryId) })
        .getMany();
      const byId = new Map(entries.map((entry) => [entry.id, sealedFields(entry)]));
      const page = checkSeals(at, seals, (id) => byId.get(id), sha256);
      faults.push(...page.faults);
      at = page.end;
      sealed += seals.length;
      if (seals.length < PAGE) {
        break;
      }
    }
    const tail: { count: string; oldest: Date | null }[] = await inTx.query(
      `select count(*) as count, min(at) as oldest from audit_entries entry
        where not exists (select from audit_seals seal where seal.entry_id = entry.id)`,
    );
    return {
      ok: faults.length === 0,
      sealed,
      head: at,
      faults,
      unsealed: { count: Number(tail[0]?.count ?? 0), oldestAt: tail[0]?.oldest ?? null },
    };
  });
}
