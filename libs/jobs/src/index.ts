export * from './alarms.js';
export * from './clean.js';
export { jobsOf } from './domain/lanes.js';
export type { Finding } from './domain/duty.js';
export * from './duty-watch.js';
export * from './install.js';
export * from './permanent-error.js';
export * from './queue.js';
export * from './scheduler.js';
