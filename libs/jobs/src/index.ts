export * from './clean.js';
export { jobsOf } from './domain/lanes.js';
export * from './install.js';
export * from './permanent-error.js';
export * from './queue.js';
export * from './scheduler.js';
