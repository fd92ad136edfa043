export * from './data-keys.js';
export type { KeyWorkDeps, PortalRepositoryKeys } from './deps.js';
export { HOLDER_SECONDS, forgetHolder, sayHolder } from './holders.js';
export * from './key.service.js';
export * from './master-keys.js';
export { KeyWork } from './rotation.js';
export * from './start.js';
