import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { engineContract, type ContractPrograms } from '../contract-suite.js';
import { FakeEngine } from './fake-engine.js';
import { SocketEngine } from './socket-client.js';
import { FakeEngineServer } from './socket-server.js';

const image = 'example.org/shell:1';

/** Words of `byCommand`. */
const programs: ContractPrograms = {
  print: (code, ...lines) => ['fake:print', String(code), ...lines],
  idle: () => ['fake:idle'],
  stubborn: () => ['fake:stubborn'],
  show: (...paths) => ['fake:show', ...paths],
  cat: (code) => ['fake:cat', String(code)],
};

engineContract('in memory', () =>
  Promise.resolve({
    engine: new FakeEngine({ images: [image] }),
    image,
    programs,
    prefix: '10.222',
    close: () => Promise.resolve(),
  }),
);

engineContract('in memory, through a socket', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'aviary-engine-'));
  const path = join(folder, 'engine.sock');
  const server = await FakeEngineServer.listen(new FakeEngine({ images: [image] }), path);
  const engine = new SocketEngine(path);
  return {
    engine,
    image,
    programs,
    prefix: '10.222',
    close: async () => {
      await engine.close();
      await server.close();
      await rm(folder, { recursive: true });
    },
  };
});
