export { Repository, type Part, type Snapshot, type Stored } from './repository.js';
export { removeCache, removeCheckCaches } from './process.js';
export type { RepositoryPlace, ResticSettings } from './process.js';
