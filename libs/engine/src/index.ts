export * from './port.js';
export { specHash } from './spec-hash.js';
export { provesOwner } from './ownership.js';
export { NEWEST_API, OLDEST_API } from './docker/api-version.js';
export { DockerEngine, type DockerEngineOptions } from './docker/docker-engine.js';
export { FakeEngine, type FakeEngineOptions } from './fake/fake-engine.js';
export { MUTATIONS, type CallLog, type EngineCall, type EngineMethod, type Fault } from './fake/call-log.js';
export {
  byCommand,
  exits,
  healthy,
  neverReady,
  outOfMemory,
  stubborn,
  type Behaviour,
  type FakeProcess,
  type ProcessContext,
} from './fake/processes.js';
export { FakeEngineServer } from './fake/socket-server.js';
export { SocketEngine } from './fake/socket-client.js';
