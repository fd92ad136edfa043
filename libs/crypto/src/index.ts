export * from './tokens.js';
export * from './sealing.js';
export * from './master-key.js';
export * from './master-key-source.js';
export * from './signing.js';
export * from './local-ca.js';
