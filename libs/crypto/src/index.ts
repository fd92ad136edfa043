export * from './tokens.js';
export * from './sealing.js';
export * from './signing.js';
export * from './local-ca.js';
