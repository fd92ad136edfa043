import { auditEntry, type AuditEvent } from '#libs/audit';
import { DomainError } from '#libs/contracts';
import { APP_ROLE, newId, unknownMigrations } from '#libs/db';
import { masterKeyOf, type MasterKeys } from '#libs/keys';
import type { Repository } from '#libs/restic';
import { loadDatabase } from '../load.js';
import type { PsqlSession } from '../psql.js';
import { besideOf, dropBeside, endClients, inSession, literal, makeBeside, type PortalServer } from './beside.js';
import type { RecoverableBackup } from './choose.js';
import { nextOrdinal, storeFence } from './fence.js';
import { dumpPart } from './portal-snapshots.js';
import { requireOpens, sealedUnder } from './sealed-under.js';

/** Of the database that is loaded, until it takes the place of the empty one. */
const RECOVERING = 'recovering';

interface RecoverWork {
  server: PortalServer;
  repository: Repository;
  backup: RecoverableBackup;
  masters: MasterKeys;
  /** Ids of master keys that are lost: what is sealed under them is given up. */
  without?: readonly string[];
  now: Date;
  signal: AbortSignal;
  say: (text: string) => void;
}

export interface Recovered {
  /** Of the recovery; that of an earlier run where it was done already. */
  id: string;
  before: boolean;
  stacks: number;
}

/**
 * Brings the portal's database back in the place of an empty one. It is loaded beside it, compared with what was counted when it
 * was dumped, told that its host is another, and put in place by a rename: until then a run that was cut off changed
 * nothing, and one after it finds it done. Throws WRONG_STATE where the database is in use, CONFIG_INVALID where
 * data keys are under a master key that was not given, BACKUP_UNVERIFIED where it does not come back whole.
 */
export async function recoverPortal(work: RecoverWork): Promise<Recovered> {
  const { server, repository, backup, signal, say } = work;
  const { manifest, stored } = backup;
  const before = await recoveredBefore(work, stored.id);
  if (before !== null) {
    return before;
  }
  await inSession(server, { signal }, (session) => makeRole(session));
  say('loading the portal’s database out of its repository');
  const loading = besideOf(server, RECOVERING);
  const into = await makeBeside(server, loading, signal);
  await loadDatabase({
    streams: server.streams,
    repository,
    database: manifest.database,
    part: dumpPart(stored, manifest),
    into,
    signal,
  });
  say(`loaded and compared: ${manifest.database.tables.length} tables as they were counted`);
  const id = newId();
  const ordinal = nextOrdinal(await repository.snapshots([], signal));
  const stacks = await inSession(server, { database: loading, signal }, async (session) => {
    requireKnownSchema(await session.query('select name from public.migrations'));
    // Before it is put in place: a platform whose secrets do not open is none.
    const under = await sealedUnder(session, work.masters);
    requireOpens(under, work.masters, work.without ?? []);
    for (const { masterKey } of under.filter(({ opens }) => opens !== 'yes')) {
      say(`of what is sealed under the master key ${masterKey} not all opens: aviary keys status will name the stacks`);
    }
    return settle(session, { ...work, id, ordinal });
  });
  // Before there is a second database: one whose fence nobody sees would work beside the first. Cut off in between, the
  // next run stores a higher one.
  say(
    'storing the mark that this recovery takes the old host’s place: from here on that host stops its bots for good when it reads it, whether or not this run comes to its end',
  );
  const fence = { ordinal, recovery: id, backup: stored.id, platform: manifest.platform, now: work.now };
  await storeFence(repository, fence, signal);
  await putInPlace(server, loading, signal);
  return { id, before: false, stacks };
}

/**
 * What an earlier run did; null where the database is not there, or nothing in it would be missed: no stack, and nobody
 * but operators, as the first `up` leaves it. Throws WRONG_STATE where it holds anything else.
 */
async function recoveredBefore({ server, signal, say }: RecoverWork, backupId: string): Promise<Recovered | null> {
  const { database } = server.place;
  const there = await inSession(server, { signal }, (session) =>
    session.query(`select 1 from pg_database where datname = ${literal(database)}`),
  );
  if (there.length === 0) {
    return null;
  }
  return inSession(server, { database, signal }, async (session) => {
    const tables = await session.query(
      `select format('%I.%I', schemaname, tablename) from pg_tables where schemaname not in ('pg_catalog', 'information_schema')`,
    );
    if (tables.length === 0) {
      return null;
    }
    const known = tables.includes('public.recoveries')
      ? await session.query(`select id from public.recoveries where backup_id = ${literal(backupId)}::uuid`)
      : [];
    const ours = tables.includes('public.tenants');
    const count = async (rows: string): Promise<number> =>
      ours ? Number(await session.one(`select count(*) from public.${rows}`)) : 0;
    const stacks = await count('tenants');
    if (known[0] !== undefined) {
      return { id: known[0], before: true, stacks };
    }
    const people = await count(`accounts where role <> 'operator'`);
    if (ours && stacks + people === 0) {
      say('the portal’s database here has no stack and nobody but operators: it is replaced');
      return null;
    }
    throw new DomainError('WRONG_STATE', {
      message: `The portal's database on this machine is in use: it holds ${tables.length} tables, ${stacks} stacks and ${people} people. Recovery only replaces one without stacks and people, so nothing was changed. Where nothing of it is to be kept, remove this platform with scripts/down --purge, which leaves the backups, and recover again.`,
      details: { why: 'not_empty', tables: tables.length, stacks, people },
    });
  });
}

/** Throws CONFIG_INVALID for one that a newer version made: no migration goes back. An older one `up` brings up to date. */
export function requireKnownSchema(migrations: readonly string[]): void {
  const unknown = unknownMigrations(migrations);
  if (unknown.length > 0) {
    throw new DomainError('CONFIG_INVALID', {
      message: `This backup is of a newer version of the platform than these sources, which do not know its ${unknown.join(', ')}: take the sources of the version that ran, or newer ones.`,
      details: { why: 'version', unknown },
    });
  }
}

/** What the dump grants rights to; its password is set when the database is migrated. */
async function makeRole(session: PsqlSession): Promise<void> {
  const there = await session.query(`select 1 from pg_roles where rolname = '${APP_ROLE}'`);
  if (there.length === 0) {
    await session.query(`create role ${APP_ROLE} nologin`);
  }
}

const LOST = `jsonb_build_object('code', 'OPERATION_CANCELLED', 'message', 'The host was lost and the platform recovered on another.', 'details', jsonb_build_object('why', 'recovered'))`;

/**
 * What the rows say of the lost host is so no more: nothing of any stack is there, nobody is at work. Which stack gets
 * which backup the agent decides, which alone reaches repositories and engine.
 */
async function settle(
  session: PsqlSession,
  work: Pick<RecoverWork, 'backup' | 'now' | 'masters'> & { id: string; ordinal: number },
): Promise<number> {
  const { id, ordinal, now } = work;
  const { stored, manifest, proof } = work.backup;
  const at = `${literal(now.toISOString())}::timestamptz`;
  const shown = literal(
    JSON.stringify({ ...manifest, masterKey: proof?.masterKey ?? null, masterKeys: proof?.masterKeys }),
  );
  const state = proof === null ? 'stored' : 'verified';
  const statements = [
    'begin',
    `update public.operation_steps s set state = 'skipped', finished_at = ${at} from public.operations o
      where s.operation_id = o.id and o.state in ('queued', 'running') and s.state in ('pending', 'running')`,
    `update public.operations set state = 'failed', finished_at = ${at}, fencing = fencing + 1, lease_owner = null,
       lease_expires_at = null, error = ${LOST} || jsonb_build_object('errorId', id::text) where state in ('queued', 'running')`,
    `update public.backups set state = 'failed', error = ${LOST} - 'details' where state in ('taking', 'dumped')`,
    // Whoever goes on with it looks first at what came back.
    `insert into public.rollout_moves (rollout_id, seq, from_state, to_state, cause, reason, by, at)
       select r.id, 1 + coalesce((select max(seq) from public.rollout_moves where rollout_id = r.id), 0), r.state, 'aborted',
              'operator', 'The host was lost and the platform recovered on another.', 'system:recovery', ${at}
         from public.rollouts r where r.state not in ('aborted', 'done')`,
    `update public.rollouts set state = 'aborted' where state not in ('aborted', 'done')`,
    `update public.tenants set observed = 'none', observed_since = ${at}, checked_at = null, reason = null,
       reason_code = null, reason_params = null, next_epoch = null, kept_epochs = '{}'`,
    // What was ended, used or exchanged after the backup is not known here: nothing that lets anybody in outlives it.
    `update public.sessions set revoked_at = ${at}, revoke_reason = 'recovered' where revoked_at is null`,
    'delete from public.mail_tokens where used_at is null',
    'delete from public.sign_on_codes where used_at is null',
    'delete from public.engine_leases',
    'delete from public.engine_stand_bys',
    'delete from public.key_holders',
    'delete from public.orphans',
    `update public.portal_backups set state = 'failed', error = ${LOST} - 'details' where state in ('asked', 'taking', 'stored')`,
    `update public.portal_backups set state = '${state}', error = null, taken_at = ${literal(manifest.takenAt)},
       stored_at = ${literal(stored.at.toISOString())}, verified_at = ${proof === null ? 'null' : literal(proof.verifiedAt)},
       parts = ${literal(JSON.stringify([dumpPart(stored, manifest)]))}, manifest = ${shown}
      where id = ${literal(stored.id)}::uuid`,
    // Not there in a backup of an older version.
    'alter table public.recoveries add column if not exists ordinal integer not null default 0',
    `insert into public.recoveries (id, backup_id, taken_at, recovered_at, ordinal)
       values (${literal(id)}, ${literal(stored.id)}, ${literal(manifest.takenAt)}, ${at}, ${ordinal})`,
  ];
  for (const statement of statements) {
    await session.query(statement);
  }
  for (const [table, statement] of Object.entries(ofLater(at))) {
    if ((await session.one(`select to_regclass('public.${table}') is not null`)) === 't') {
      await session.query(statement);
    }
  }
  await settleRotation(session, work);
  const stacks = Number(await session.one('select count(*) from public.tenants'));
  const { platform, takenAt } = manifest;
  const after = { id, backup: stored.id, takenAt, verified: proof !== null, stacks };
  await audit(session, { action: 'platform.recover', target: { kind: 'platform', id: platform }, after }, now);
  await session.query('commit');
  return stacks;
}

/** Of tables that not every version had whose backups can be recovered, which are loaded as they were. */
const ofLater = (at: string): Record<string, string> => ({
  exports: `update public.exports set state = 'failed', ended_at = ${at}, error = ${LOST} - 'details'
    where state in ('asked', 'sending')`,
});

/**
 * A rotation that was under way goes on where both its keys were given. Else it is over: one that had moved all it could
 * ends, since agents start with both keys or not at all while one is open, and one that had moved nothing is given up.
 */
async function settleRotation(
  session: PsqlSession,
  { masters, now }: Pick<RecoverWork, 'masters' | 'now'>,
): Promise<void> {
  const [open] = await session.query(
    `select id || ' ' || from_key || ' ' || to_key || ' ' || (begun_at is not null)
       from public.key_rotations where finished_at is null`,
  );
  const [id = '', from = '', to = '', begun] = open?.split(' ') ?? [];
  if (open === undefined || (masterKeyOf(masters, from) !== null && masterKeyOf(masters, to) !== null)) {
    return;
  }
  const target = { kind: 'platform', id: to };
  const before = { master: from };
  if (begun !== 'true') {
    await session.query(`delete from public.key_rotations where id = ${literal(id)}::uuid`);
    await audit(session, { action: 'keys.rotate_given_up', target, before, after: before }, now);
    return;
  }
  const lost = await session.query(
    `select owner from public.data_keys where master_key = ${literal(from)} order by owner`,
  );
  await session.query(
    `update public.key_rotations set finished_at = ${literal(now.toISOString())}::timestamptz where id = ${literal(id)}::uuid`,
  );
  await audit(session, { action: 'keys.rotated', target, before, after: { master: to, lost } }, now);
}

/** The worker seals it with what else the lost host had left unsealed. */
async function audit(session: PsqlSession, event: Omit<AuditEvent, 'actor'>, now: Date): Promise<void> {
  const entry = auditEntry({ ...event, actor: { kind: 'system', name: 'recovery' } }, now);
  const said = Object.entries(entry).filter(([, value]) => value !== null) as [string, string | Date | object][];
  const columns = said.map(([name]) => name.replace(/[A-Z]/g, (capital) => `_${capital.toLowerCase()}`));
  const values = said.map(([, value]) =>
    literal(typeof value === 'string' ? value : value instanceof Date ? value.toISOString() : JSON.stringify(value)),
  );
  await session.query(`insert into public.audit_entries (${columns.join(', ')}) values (${values.join(', ')})`);
}

/** The empty one goes, the loaded one takes its name. Cut off in between, the next run finds none and loads anew. */
async function putInPlace(server: PortalServer, loading: string, signal: AbortSignal): Promise<void> {
  const { database } = server.place;
  await inSession(server, { signal }, (session) => session.query(`grant connect on database ${loading} to public`));
  await dropBeside(server, database, signal);
  await inSession(server, { signal }, async (session) => {
    await endClients(session, loading);
    await session.query(`alter database ${loading} rename to ${database}`);
  });
}
