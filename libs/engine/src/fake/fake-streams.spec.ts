import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { streamsContract } from '../contract/streams.js';
import { FakeEngine } from './fake-engine.js';
import { FakeStreams } from './fake-streams.js';

// 300 MB through a pipe, beside other suites
jest.setTimeout(30_000);

const image = 'example.org/shell:1';

streamsContract('in memory', async () => {
  const home = await mkdtemp(join(tmpdir(), 'aviary-streams-'));
  const engine = new FakeEngine({ images: [image] });
  const streams = new FakeStreams({
    engine,
    run: (_container, [file = '', ...args]) => ({ file, args }),
    folder: (container, folder) => (folder === '/data' ? join(home, container) : folder),
  });
  return {
    engine,
    streams,
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
    cut: () => streams.cut(),
    close: () => rm(home, { recursive: true }),
  };
});
