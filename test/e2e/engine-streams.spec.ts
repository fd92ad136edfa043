import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { streamsContract } from '../../libs/engine/src/contract/streams.js';
import { DockerEngine, DockerStreams, LABEL, plainContainer } from '../../libs/engine/src/index.js';
import { CutSocket } from '../support/cut-socket.js';
import { engineEndpoint, engineSocket, killEngine, startEngine } from '../support/engine.js';
import { shellPrograms } from '../support/shell-programs.js';

// a first start on a cold engine, 300 MB through half a core, and stops that wait for their grace
jest.setTimeout(60_000);

streamsContract('docker', async () => {
  const image = process.env['AVIARY_TEST_IMAGE'];
  if (!image) {
    throw new Error('Set AVIARY_TEST_IMAGE (an image with a shell), as scripts/test does.');
  }
  const home = await mkdtemp(join(tmpdir(), 'aviary-streams-'));
  const path = join(home, 'engine.sock');
  const socket = await CutSocket.open(path, engineSocket());
  return {
    engine: new DockerEngine({ endpoint: engineEndpoint() }),
    streams: new DockerStreams({ endpoint: `unix://${path}` }),
    image,
    programs: shellPrograms,
    prefix: process.env['AVIARY_TEST_PREFIX'] ?? '10.222',
    user: { uid: 10_001, gid: 10_001 },
    cut: () => socket.cut(),
    close: async () => {
      await socket.close();
      await rm(home, { recursive: true });
    },
  };
});

it('FM-21 the output of a process whose engine is killed never ends well', async () => {
  const engine = new DockerEngine({ endpoint: engineEndpoint() });
  const streams = new DockerStreams({ endpoint: engineEndpoint() });
  const owner = { platform: randomUUID() };
  const name = `aviary-${owner.platform.slice(0, 8)}-dump`;
  const bounds = { deadlineMs: 20_000 };
  const image = process.env['AVIARY_TEST_IMAGE'] ?? '';
  await engine.createContainer(
    plainContainer(name, { [LABEL.platform]: owner.platform }, { image, command: ['sleep', '3600'] }),
    bounds,
  );
  await engine.startContainer(name, bounds);
  try {
    for (const script of ['exec cat /dev/zero', 'echo begun; exec sleep 60']) {
      const wish = { command: ['sh', '-c', script], user: '10001:10001' };
      const { output, ended } = await streams.exec(name, owner, wish, new AbortController().signal);
      const reading = (async () => {
        let bytes = 0;
        for await (const chunk of output as AsyncIterable<Buffer>) {
          if (bytes === 0) {
            await killEngine();
          }
          bytes += chunk.length;
        }
        return bytes;
      })();
      await expect(reading).rejects.toMatchObject({ code: 'ENGINE_UNREACHABLE' });
      await expect(ended).rejects.toMatchObject({ code: 'ENGINE_UNREACHABLE' });
      await startEngine();
    }
  } finally {
    await startEngine();
    await engine.removeContainer(name, owner, bounds);
  }
});
