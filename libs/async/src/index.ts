export * from './wait.js';
export * from './limits.js';
export * from './pour.js';
