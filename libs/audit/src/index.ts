export * from './append.js';
export * from './seal.js';
