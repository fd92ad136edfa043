import type { EntityManager } from 'typeorm';
import type { ExportView, OPEN_EXPORT_STATES } from '#libs/contracts';
import { ExportEntity } from '#libs/db';

/** For how long the newest is shown. */
const SHOWN_MS = 86_400_000;

export const EXPORT_RESTARTED =
  'The portal was restarted while it was sent, so what came is not all of it. Download it again.';

/** What nobody brought to its end, told by what is left of it. */
const LOST: Record<(typeof OPEN_EXPORT_STATES)[number], NonNullable<ExportView['error']>> = {
  asked: { code: 'TOKEN_INVALID', message: 'It was not begun in time. Ask for it again.' },
  sending: {
    code: 'UNAVAILABLE',
    message:
      'It is not known whether all of it was sent. If age opens it to its end, it is whole; if not, download it again.',
  },
};

/** One whose sender was killed says nothing more; once its time is over, it is what it will stay. */
export function exportView(row: ExportEntity, now: Date): ExportView {
  const lost = (row.state === 'asked' || row.state === 'sending') && row.aliveUntil <= now ? LOST[row.state] : null;
  return {
    id: row.id,
    backup: row.backupId,
    takenAt: row.takenAt.toISOString(),
    state: lost ? 'failed' : row.state,
    file: row.file,
    askedAt: row.askedAt.toISOString(),
    endedAt: (lost ? row.aliveUntil : row.endedAt)?.toISOString() ?? null,
    bytes: row.bytes,
    error: lost ?? (row.error && { code: row.error.code, message: row.error.message }),
  };
}

/** Null where none was asked for within a day. */
export async function newestExport(db: EntityManager, tenantId: string, now: Date): Promise<ExportView | null> {
  const [row] = await db.find(ExportEntity, { where: { tenantId }, order: { askedAt: 'DESC' }, take: 1 });
  return row && now.getTime() - row.askedAt.getTime() < SHOWN_MS ? exportView(row, now) : null;
}
