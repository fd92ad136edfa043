export * from './wait.js';
export * from './limits.js';
export * from './open-answers.js';
export * from './drain.js';
export * from './pour.js';
export * from './hand-over.js';
