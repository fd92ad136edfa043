export * from './wait.js';
export * from './limits.js';
