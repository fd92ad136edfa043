import { DomainError } from '#libs/contracts';

/** So many backups are sent at once: each takes a restic with its memory, and a part of what the host reads and sends. */
export const MOST_EXPORTS = 3;
/** Of those, what the portal leaves to the host's command line: whoever runs the host gets at a backup in need. */
const KEPT_FOR_HOST = 1;
const AGAIN_SECONDS = 60;

/** Where an archive is handed over. */
export type ExportPlace = 'portal' | 'host';

/** One that is being sent. */
export interface OpenDownload {
  accountId: string;
  slug: string;
  since: Date;
}

/**
 * Throws RATE_LIMITED while as many are sent as that place may, and TENANT_BUSY in the portal while one of the account
 * is: slow lines of one customer are not to keep the others' backups here.
 */
export function requireDownloadSlot(open: readonly OpenDownload[], accountId: string, at: ExportPlace): void {
  const own = at === 'portal' ? open.find((download) => download.accountId === accountId) : undefined;
  if (own) {
    throw downloadBusy(own, 'You download one backup at a time.');
  }
  const most = at === 'portal' ? MOST_EXPORTS - KEPT_FOR_HOST : MOST_EXPORTS;
  if (open.length >= most) {
    throw tooManyDownloads(most);
  }
}

export const tooManyDownloads = (most: number): DomainError =>
  new DomainError('RATE_LIMITED', {
    message: `This host sends ${most} downloads of backups already. Try again in a few minutes.`,
    details: { retryAfterSeconds: AGAIN_SECONDS },
  });

/** `why`: what it stands in the way of. */
export function downloadBusy({ slug, since }: Pick<OpenDownload, 'slug' | 'since'>, why: string): DomainError {
  const at = since.toISOString();
  return new DomainError('TENANT_BUSY', {
    message: `A backup of ${slug} is downloaded since ${at}. ${why} Wait for its end, or stop it.`,
    details: { kind: 'export', since: at },
  });
}
