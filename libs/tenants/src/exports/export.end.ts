import { In, type EntityManager } from 'typeorm';
import type { OPEN_EXPORT_STATES } from '#libs/contracts';
import { ExportEntity } from '#libs/db';

interface EndedDownloads {
  /** Of this one alone. */
  id?: string;
  states: readonly (typeof OPEN_EXPORT_STATES)[number][];
  /** What its owner is told. */
  message: string;
  now: Date;
}

/**
 * Ends what is asked for or sent of the stack's backups; gives how many there were. The row is the switch: a ticket of
 * it is worth nothing any more, and whoever sends it finds that out at the next beat and cuts it off.
 */
export async function endDownloads(
  db: EntityManager,
  tenantId: string,
  { id, states, message, now }: EndedDownloads,
): Promise<number> {
  const { affected } = await db.update(
    ExportEntity,
    { tenantId, state: In(states), ...(id === undefined ? {} : { id }) },
    { state: 'failed', endedAt: now, error: { code: 'OPERATION_CANCELLED', message } },
  );
  return affected ?? 0;
}
