import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { streamsContract } from '../contract/streams.js';
import { FakeEngine } from './fake-engine.js';
import { FakeStreams } from './fake-streams.js';
import { SocketStreams } from './streams-client.js';
import { FakeStreamsServer } from './streams-server.js';

// 300 MB through a pipe and a socket, beside other suites
jest.setTimeout(30_000);

const image = 'example.org/shell:1';

streamsContract('in memory, lent through a socket', async () => {
  const home = await mkdtemp(join(tmpdir(), 'aviary-lent-'));
  const engine = new FakeEngine({ images: [image] });
  const streams = new FakeStreams({
    engine,
    run: (_container, [file = '', ...args]) => ({ file, args }),
    folder: (container, folder) => (folder === '/data' ? join(home, container) : folder),
  });
  const server = await FakeStreamsServer.listen(streams, join(home, 'streams.sock'));
  return {
    engine,
    streams: new SocketStreams(join(home, 'streams.sock')),
    image,
    programs: {
      print: () => [],
      idle: () => [],
      stubborn: () => [],
      show: () => [],
      cat: () => [],
    },
    prefix: '10.222',
    user: { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
    dataOf: (container) => mkdir(join(home, container)).then(() => undefined),
    cut: () => server.cut(),
    close: async () => {
      await server.close();
      await rm(home, { recursive: true });
    },
  };
});
