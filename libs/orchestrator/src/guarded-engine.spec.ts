import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { FakeEngine, FakeStreams, LABEL, plainContainer } from '#libs/engine';
import { guardedStreams } from './guarded-engine.js';

const never = new AbortController().signal;
const bounds = { deadlineMs: 5_000 };
const owner = { platform: 'p' };

it('streams ask before what may change a stack, and begin nothing of it for who may no more', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'aviary-guarded-'));
  const engine = new FakeEngine({ images: ['example.org/shell:1'] });
  await engine.createContainer(
    plainContainer('aviary-stack', { [LABEL.platform]: owner.platform }, { image: 'example.org/shell:1' }),
    bounds,
  );
  const streams = new FakeStreams({ engine, run: (_, [file = '', ...args]) => ({ file, args }), folder: () => folder });
  let asked = 0;
  let lost = false;
  const guarded = guardedStreams(streams, () => {
    asked += 1;
    return lost ? Promise.reject(new Error('the lease is lost')) : Promise.resolve();
  });
  try {
    await writeFile(join(folder, 'ledger'), 'kept');
    const tar = await buffer(await guarded.pack('aviary-stack', owner, '/data', never));
    expect([asked, tar.includes('kept')]).toEqual([0, true]);
    await writeFile(join(folder, 'ledger'), 'newer');
    lost = true;
    const again = new PassThrough();
    again.end(tar);
    await expect(guarded.unpack('aviary-stack', owner, { folder: '/data', tar: again }, never)).rejects.toThrow(
      'the lease is lost',
    );
    expect(await readFile(join(folder, 'ledger'), 'utf8')).toBe('newer');
    await engine.startContainer('aviary-stack', bounds);
    const wish = { command: ['rm', join(folder, 'ledger')], user: '10001:10001' };
    await expect(guarded.exec('aviary-stack', owner, wish, never)).rejects.toThrow('the lease is lost');
    expect(await readFile(join(folder, 'ledger'), 'utf8')).toBe('newer');
    lost = false;
    const { output, ended } = await guarded.exec('aviary-stack', owner, wish, never);
    output.resume();
    expect([await ended, asked]).toEqual([{ exitCode: 0, said: '' }, 3]);
  } finally {
    await rm(folder, { recursive: true });
  }
});
