import { randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import { ExecFrames } from './exec-frames.js';

const frame = (stream: 1 | 2, payload: Buffer): Buffer => {
  const header = Buffer.alloc(8);
  header[0] = stream;
  header.writeUInt32BE(payload.length, 4);
  return Buffer.concat([header, payload]);
};

function* anywhere(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length;) {
    const end = at + randomInt(1, 700);
    yield bytes.subarray(at, end);
    at = end;
  }
}

it('gives exactly the standard output, however the engine cuts it, and keeps the end of the error', async () => {
  const parts = Array.from({ length: 200 }, () => randomBytes(randomInt(0, 900)));
  const framed = Buffer.concat(
    parts.flatMap((part, index) => [frame(1, part), frame(2, Buffer.from(`warning ${index}\n`))]),
  );
  const frames = new ExecFrames();
  const output = await buffer(Readable.from(anywhere(framed)).pipe(frames));
  expect(output.equals(Buffer.concat(parts))).toBe(true);
  expect(frames.said.endsWith('warning 198\nwarning 199')).toBe(true);
  expect(frames.said.length).toBeLessThanOrEqual(4_096);
});

it('gives what came at once in one piece, however many frames it was', async () => {
  const frames = new ExecFrames();
  const parts = [randomBytes(900), randomBytes(1), randomBytes(300)];
  const [first, second, third] = parts.map((part) => frame(1, part)) as [Buffer, Buffer, Buffer];
  // In the middle of a header, and of a payload.
  frames.write(Buffer.concat([first, frame(2, Buffer.from('warning')), second, third.subarray(0, 5)]));
  frames.write(Buffer.from(third.subarray(5, 100)));
  frames.end(Buffer.from(third.subarray(100)));
  const pieces: Buffer[] = [];
  frames.on('data', (chunk: Buffer) => pieces.push(Buffer.from(chunk)));
  await once(frames, 'end');
  expect(pieces.map(({ length }) => length)).toEqual([901, 92, 208]);
  expect(Buffer.concat(pieces).equals(Buffer.concat(parts))).toBe(true);
  expect(frames.said).toBe('warning');
});

it('asks the engine for no more than its reader takes', async () => {
  let asked = 0;
  const endless = new Readable({
    read() {
      asked += 1;
      this.push(frame(1, Buffer.alloc(64 * 1024)));
    },
  });
  const frames = endless.pipe(new ExecFrames());
  frames.once('data', () => frames.pause());
  await pause(100);
  const before = asked;
  expect(before).toBeLessThan(20);
  await pause(100);
  expect(asked).toBe(before);
  endless.destroy();
});

it('is no whole output where the engine breaks off in a frame', async () => {
  const cut = frame(1, randomBytes(100)).subarray(0, 50);
  await expect(buffer(Readable.from([cut]).pipe(new ExecFrames()))).rejects.toThrow('broke off');
});
