/** `u4k7mzq-20261122T011409Z`: the folder inside an archive of a backup. */
export function archiveName(slug: string, takenAt: Date): string {
  const at = takenAt.toISOString().replace(/\.\d+/, '').replaceAll(/[-:]/g, '');
  return `${slug}-${at}`;
}

/** What its file is called: a tar, sealed by age. */
export const exportFile = (slug: string, takenAt: Date): string => `${archiveName(slug, takenAt)}.tar.age`;
