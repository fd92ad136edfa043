import type { RepositoryPlace, ResticSettings } from '#libs/restic';

/** Where repositories lie, as this host is set up. */
export interface BackupPlaces {
  restic: ResticSettings;
  /** Of the repository with that name. */
  repository(name: string, password: string): Promise<RepositoryPlace>;
}
