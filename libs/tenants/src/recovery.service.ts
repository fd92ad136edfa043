import type { EntityManager } from 'typeorm';
import { DomainError, type Actor, type RecoveredStack, type Recovery } from '#libs/contracts';
import type { Database, RecoveryEntity } from '#libs/db';
import type { Finding } from '#libs/jobs';
import { requireActor } from './authorise.js';
import { awaitsRecovery, newestRecovery } from './recovering.js';

/** Stacks of an engine for which nothing was decided yet after a recovery: not yet tried first, then those that run. */
export async function undecidedStacks(
  database: Database,
  { recoveryId, engineId }: { recoveryId: string; engineId: string },
): Promise<string[]> {
  const rows = await database.query<{ id: string }[]>(
    `select t.id from tenants t
       left join recovery_stacks s on s.recovery_id = $1 and s.tenant_id = t.id
      where t.engine_id = $2 and ${awaitsRecovery('t')}
      order by s.tried_at nulls first, t.desired <> 'running', t.created_at, t.id`,
    [recoveryId, engineId],
  );
  return rows.map(({ id }) => id);
}

interface Row {
  slug: string;
  gone: boolean;
  kind: 'restore' | 'destroy' | null;
  state: 'queued' | 'running' | 'done' | 'failed' | 'cancelled' | null;
  operationId: string | null;
  takenAt: Date | null;
  why: string | null;
  lost: boolean;
  error: string | null;
  decided: boolean;
}

function stateOf({ gone, decided, kind, state }: Row): RecoveredStack['state'] {
  if (gone) {
    return 'destroyed';
  }
  if (state === 'done') {
    return 'restored';
  }
  if (state === 'queued' || state === 'running') {
    return kind === 'destroy' ? 'destroying' : 'restoring';
  }
  if (!decided) {
    return 'waiting';
  }
  return kind === null ? 'nothing' : 'failed';
}

function stackOf(row: Row): RecoveredStack {
  const state = stateOf(row);
  const back = state === 'restored' || state === 'destroyed';
  return {
    slug: row.slug,
    state,
    lost: row.lost && state === 'nothing',
    takenAt: row.takenAt?.toISOString() ?? null,
    operationId: row.operationId,
    why: back ? null : (row.error ?? row.why),
  };
}

/**
 * What became of each stack, of that engine where one is named. Where something is to be put back, any restore since the
 * recovery that came to its end tells, whoever asked for it, else one that is under way, else the one that was ordered.
 */
async function recoveredStacks(
  db: EntityManager,
  recovery: RecoveryEntity,
  engineId: string | null,
): Promise<RecoveredStack[]> {
  const rows = await db.query<Row[]>(
    `select coalesce(t.slug, s.slug) as slug, t.id is null as gone, s.decided_at is not null as decided, s.why,
            coalesce(s.lost, false) as lost, o.id as "operationId", o.kind, o.state, o.error ->> 'message' as error,
            b.taken_at as "takenAt"
       from tenants t
       full join (select * from recovery_stacks where recovery_id = $1) s on s.tenant_id = t.id
       left join lateral (
         select * from operations
          where id = s.operation_id
             or tenant_id = coalesce(t.id, s.tenant_id) and kind = 'restore' and created_at >= $3
                and state in ('queued', 'running', 'done') and (s.decided_at is null or s.lost or s.operation_id is not null)
          order by state = 'done' desc, created_at desc, id desc limit 1) o on true
       left join backups b on b.id = coalesce((o.input ->> 'backup')::uuid, s.backup_id)
      where (s.tenant_id is not null or t.created_at <= greatest($2::timestamptz, $3)) and ($4::text is null or t.engine_id = $4)
      order by 1`,
    [recovery.id, recovery.takenAt, recovery.recoveredAt, engineId],
  );
  return rows.map(stackOf);
}

const NAMED = 10;

function named(stacks: readonly RecoveredStack[]): string {
  const more = stacks.length - NAMED;
  const first = stacks.slice(0, NAMED).map(({ slug, why }) => (why === null ? slug : `${slug} (${why})`));
  return `${first.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

/** What a person has to mend, and what waits for a reason that was told; of a recovery. */
function unmended(stacks: readonly RecoveredStack[]): { failed: RecoveredStack[]; waiting: RecoveredStack[] } {
  return {
    failed: stacks.filter(({ state, lost }) => state === 'failed' || lost),
    waiting: stacks.filter(({ state, why }) => state === 'waiting' && why !== null),
  };
}

/** What operators are to know of an engine's stacks after a recovery; `key` is that of the alarm. */
export async function recoveryFindings(
  { manager }: Database,
  { engineId, key }: { engineId: string; key: string },
): Promise<Finding[]> {
  const recovery = await newestRecovery(manager);
  if (recovery === null) {
    return [];
  }
  const { failed, waiting } = unmended(await recoveredStacks(manager, recovery, engineId));
  if (failed.length + waiting.length === 0) {
    return [];
  }
  const sentences = [
    'The platform was recovered, and not every stack has its data again.',
    ...(failed.length === 0 ? [] : [`Not put back: ${named(failed)}.`]),
    ...(waiting.length === 0 ? [] : [`Not decided yet, and tried again: ${named(waiting)}.`]),
    'See aviary portal recovery; mend what stands there.',
  ];
  return [
    {
      key,
      code: 'RECOVERY_INCOMPLETE',
      severity: failed.length > 0 ? 'critical' : 'warning',
      message: sentences.join(' '),
      params: { engine: engineId, failed: failed.length, waiting: waiting.length },
    },
  ];
}

/** What became of every stack after the newest recovery; for operators. */
export class RecoveryService {
  constructor(private readonly database: Database) {}

  /** Throws NOT_FOUND where this database never came back from a backup. */
  async newest(actor: Actor): Promise<Recovery> {
    if (requireActor(actor).kind !== 'operator') {
      throw new DomainError('FORBIDDEN');
    }
    const { manager } = this.database;
    const recovery = await newestRecovery(manager);
    if (recovery === null) {
      throw new DomainError('NOT_FOUND', { message: 'This platform was never recovered from a backup.' });
    }
    return {
      id: recovery.id,
      backup: recovery.backupId,
      takenAt: recovery.takenAt.toISOString(),
      recoveredAt: recovery.recoveredAt.toISOString(),
      orderedAt: recovery.orderedAt?.toISOString() ?? null,
      stacks: await recoveredStacks(manager, recovery, null),
    };
  }
}
