export * from './port.js';
export { specHash } from './spec-hash.js';
export { provesOwner } from './ownership.js';
export { DockerEngine, type DockerEngineOptions } from './docker/docker-engine.js';
