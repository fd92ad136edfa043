export * from './port.js';
export * from './watch-port.js';
export { specHash } from './spec-hash.js';
export { startsNever } from './starts-never.js';
export { asideOf, placeOf } from './aside.js';
export type { EngineStreams, ExecEnd, ExecStreams, ExecWish, TarFilling } from './stream-port.js';
export { DockerStreams } from './docker/streams.js';
export { FakeStreams, type FakeStreamsOptions, type LocalProcess } from './fake/fake-streams.js';
export { NEWEST_API, OLDEST_API } from './docker/api-version.js';
export { DockerEngine, type DockerEngineOptions } from './docker/docker-engine.js';
export { FakeEngine } from './fake/fake-engine.js';
export type { FakeEngineOptions } from './fake/fake-host.js';
export { DockerWatch } from './docker/watch.js';
export type { CallLog, EngineCall, EngineMethod, Fault } from './fake/call-log.js';
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
export { plainContainer } from './fake/plain-container.js';
export { FakeEngineServer } from './fake/socket-server.js';
export { FakeStreamsServer, type AdmitStream } from './fake/streams-server.js';
export { SocketStreams } from './fake/streams-client.js';
export { SocketEngine } from './fake/socket-client.js';
