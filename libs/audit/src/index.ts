export * from './append.js';
export type { AuditFault } from './domain/chain.js';
export * from './seal.js';
