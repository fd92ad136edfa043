import { PassThrough, Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { handOver, release } from './hand-over.js';

/** Takes what is written, at a later turn, and keeps a copy. */
function taker(): { to: Writable; taken: () => Buffer } {
  const chunks: Buffer[] = [];
  const to = new Writable({
    write(chunk: Buffer, _encoding, callback) {
      setImmediate(() => {
        chunks.push(Buffer.from(chunk));
        callback();
      });
    },
  });
  return { to, taken: () => Buffer.concat(chunks) };
}

const large = (byte: number): Buffer => Buffer.alloc(100_000, byte);
const isGone = ({ buffer }: Buffer): boolean => (buffer as ArrayBuffer).detached;

describe('release', () => {
  it('gives the memory of a chunk back, and leaves what Node shares out', () => {
    const [chunk, one, other] = [large(1), Buffer.from('one'), Buffer.from('other')];
    release(chunk);
    release(one);
    expect([isGone(chunk), chunk.length]).toEqual([true, 0]);
    expect([one.toString(), other.toString()]).toEqual(['one', 'other']);
  });
});

describe('handOver', () => {
  it('hands everything on, and gives back the memory of what is its own alone', async () => {
    for (const own of [true, false]) {
      const { to, taken } = taker();
      const chunks = [1, 2, 3].map(large);
      const whole = Buffer.concat(chunks);
      await pipeline(Readable.from(chunks), handOver(to, { own }));
      expect(taken().equals(whole)).toBe(true);
      expect(chunks.map(isGone)).toEqual([own, own, own]);
      // Its end is the caller's.
      expect(to.writableEnded).toBe(false);
    }
  });

  it('takes no more than it is rid of', async () => {
    let made = 0;
    const endless = new Readable({
      read() {
        made += 1;
        this.push(large(made % 256));
      },
    });
    const { promise: first, resolve } = Promise.withResolvers<void>();
    const stuck = new Writable({ write: () => resolve() });
    const handing = pipeline(endless, handOver(stuck, { own: true }));
    await first;
    await new Promise((turn) => setImmediate(turn));
    const before = made;
    expect(before).toBeLessThan(10);
    await new Promise((turn) => setImmediate(turn));
    expect(made).toBe(before);
    endless.destroy();
    await expect(handing).rejects.toThrow('Premature close');
  });

  it('fails with what it hands to, also while nothing comes', async () => {
    const [idle, to] = [new PassThrough(), new PassThrough()];
    const handing = pipeline(idle, handOver(to));
    to.destroy(new Error('the disk is full'));
    await expect(handing).rejects.toThrow('the disk is full');
    expect(idle.destroyed).toBe(true);
    const ended = new PassThrough();
    const late = pipeline(new PassThrough(), handOver(ended));
    ended.resume().end();
    await expect(late).rejects.toThrow('it takes no more');
  });

  it('reads on where it is told to, and nobody takes any more', async () => {
    const to = new PassThrough().resume();
    to.on('error', () => undefined);
    let read = 0;
    const source = Readable.from(
      (function* (): Generator<Buffer> {
        for (; read < 50; read += 1) {
          if (read === 10) {
            to.destroy(new Error('it has all it needs'));
          }
          yield large(1);
        }
      })(),
    );
    await pipeline(source, handOver(to, { own: true, readsOn: true }));
    expect(read).toBe(50);
  });
});
