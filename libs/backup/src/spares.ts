import { z } from 'zod';
import { DomainError } from '#libs/contracts';
import { TenantEntity, tx, type Database } from '#libs/db';
import { spareEpochs, wantStack, type BackupWork } from '#libs/orchestrator';
import { stackNames } from '#libs/tenants';
import { ScratchServer } from './scratch.js';

const CALL_MS = 60_000;

/** What restores and upgrades took the place of is covered now, and what one left half-way is nothing: none is at work beside this. */
export async function dropSpares(database: Database, work: BackupWork): Promise<void> {
  const { keptEpochs, carriedEpochs, tenantId } = work.facts;
  for (const epoch of spareEpochs(work.facts)) {
    await dropVolumes(work, epoch);
  }
  await work.prove();
  await database.query(
    `update tenants set kept_epochs = '{}', carried_epochs = '{}', next_epoch = null
      where id = $1 and kept_epochs = $2 and carried_epochs = $3`,
    [tenantId, keptEpochs, carriedEpochs],
  );
}

/**
 * Takes away what is half filled of that epoch, and before it the server that may hold it. Never throws, since why it was
 * not filled is what is to be told: what cannot be removed now stays named in the row, and goes with the next good backup.
 */
export async function giveUpEpoch(
  database: Database,
  { engine, streams, facts, signal }: Pick<BackupWork, 'engine' | 'streams' | 'facts' | 'signal'>,
  epoch: number,
): Promise<void> {
  const away = async (): Promise<void> => {
    await ScratchServer.clear({ engine, streams, facts, signal });
    await dropVolumes({ engine, facts }, epoch);
    await database.manager.update(TenantEntity, { id: facts.tenantId, nextEpoch: epoch }, { nextEpoch: null });
  };
  await away().catch(() => undefined); // `dropSpares` finds it by the row.
}

/** What was filled for a swap that does not come any more; as `giveUpEpoch`. */
export async function giveUpFilled(database: Database, work: BackupWork): Promise<void> {
  const { nextEpoch } = work.facts;
  if (nextEpoch !== null) {
    await giveUpEpoch(database, work, nextEpoch);
  }
}

/** Never those of the epoch the stack lives in. */
export async function dropVolumes(
  { engine, facts }: Pick<BackupWork, 'engine' | 'facts'>,
  epoch: number,
): Promise<void> {
  if (epoch === facts.epoch) {
    throw new Error(`the volumes of ${facts.slug} are in use`);
  }
  const names = stackNames(facts.platformId, facts.slug);
  for (const volume of Object.keys(facts.template.volumes)) {
    const owner = { platform: facts.platformId, tenant: facts.tenantId };
    await engine.removeVolume(names.volume(volume, epoch), owner, { deadlineMs: CALL_MS });
  }
}

const undoSchema = z.object({ to: z.int() });
const KEPT = 'the data before is kept until the next good backup';

/** The engine would make a missing volume anew, empty. */
export async function volumesKept({ engine, facts, operation, signal }: BackupWork): Promise<string> {
  const { to } = undoSchema.parse(operation.input);
  const names = stackNames(facts.platformId, facts.slug);
  const { volumes } = await engine.observe(wantStack(facts).owner, { deadlineMs: CALL_MS, signal });
  const there = new Set(volumes.map(({ name }) => name));
  const missing = Object.keys(facts.template.volumes)
    .map((volume) => names.volume(volume, to))
    .filter((name) => !there.has(name));
  if (facts.epoch !== to && (missing.length > 0 || !facts.keptEpochs.includes(to))) {
    throw new DomainError('DATA_MISSING', {
      message: 'What was there before the restore is not kept any more. The stack stays as it is.',
      details: { missing },
    });
  }
  return 'all of it is there';
}

/**
 * Leads the stack to the volumes that were filled for it, or back to kept ones; those it leaves are kept. Throws FENCED
 * where somebody ended it meanwhile.
 */
export async function swapVolumes(
  database: Database,
  { facts, operation, prove }: Pick<BackupWork, 'facts' | 'operation' | 'prove'>,
): Promise<string> {
  const undo = operation.kind === 'undo_restore';
  const to = undo ? undoSchema.parse(operation.input).to : facts.nextEpoch;
  if (to === null || to === facts.epoch) {
    await prove();
    return 'done before';
  }
  const [, changed] = await tx(database, async (db) => {
    // Whoever ends it does so behind this lock, and then we are fenced off.
    await db.query('select from tenants where id = $1 for update', [facts.tenantId]);
    await prove();
    return db.query<[unknown, number]>(
      `update tenants set kept_epochs = array_remove(kept_epochs, $2) || case when $4 then '{}' else array[epoch] end::integer[],
              epoch = $2,
              next_epoch = case when next_epoch = $2 then null else next_epoch end
        where id = $1 and epoch = $3 and (next_epoch = $2 or $2 = any(kept_epochs))`,
      // A copy had nothing before.
      [facts.tenantId, to, facts.epoch, operation.kind === 'clone'],
    );
  });
  if (changed !== 1) {
    throw new DomainError('LOST_RACE');
  }
  return operation.kind === 'clone' ? 'it begins with this data' : KEPT;
}
