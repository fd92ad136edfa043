export * from './data-source.js';
export * from './entities/index.js';
export * from './errors.js';
export * from './ids.js';
export * from './migrate.js';
export { scramVerifier } from './scram.js';
