export { ResticBackups, type StackBackupDeps } from './stack-backups.js';
export { Repositories, type BackupPlaces, type RepositorySettings } from './repositories.js';
export { manifestSchema, totals, type Manifest } from './domain/manifest.js';
export { RETENTION, expired, dayOf, type KnownBackup, type RetentionPolicy } from './domain/retention.js';
