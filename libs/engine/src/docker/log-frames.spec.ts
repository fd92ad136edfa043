import fc from 'fast-check';
import { LogFrames, LONGEST_LINE } from './log-frames.js';

const AT = '2026-11-21T10:00:00.000000001Z';
const frame = (stream: number, text: string, at = AT): Buffer => {
  const payload = Buffer.from(`${at} ${text}`);
  const header = Buffer.alloc(8);
  header[0] = stream;
  header.writeUInt32BE(payload.length, 4);
  return Buffer.concat([header, payload]);
};

describe('a followed log', () => {
  it('gives lines of both streams with their times, whatever is in them', () => {
    const frames = new LogFrames();
    expect(frames.push(Buffer.concat([frame(1, 'a b\n'), frame(2, '\n'), frame(1, 'grün ✓\r\n')]))).toEqual([
      { at: AT, stream: 'out', text: 'a b' },
      { at: AT, stream: 'err', text: '' },
      { at: AT, stream: 'out', text: 'grün ✓' },
    ]);
  });

  it('puts a long line together, also where the other stream speaks in between', () => {
    const frames = new LogFrames();
    const half = 'x'.repeat(16_384);
    const lines = frames.push(
      Buffer.concat([frame(1, half), frame(2, 'meanwhile\n'), frame(1, 'end\n', '2026-11-21T10:00:01Z')]),
    );
    expect(lines).toEqual([
      { at: AT, stream: 'err', text: 'meanwhile' },
      { at: AT, stream: 'out', text: `${half}end` },
    ]);
  });

  it('knows the last part of a long line also where the engine leaves out its end', () => {
    const part = 'x'.repeat(16_384);
    const lines = new LogFrames().push(Buffer.concat([frame(1, part), frame(1, 'tail'), frame(1, 'next\n')]));
    expect(lines.map(({ text }) => text)).toEqual([`${part}tail`, 'next']);
  });

  it('cuts a line that never ends instead of keeping it', () => {
    const frames = new LogFrames();
    const lines = Array.from({ length: 40 }, () => frames.push(frame(1, 'y'.repeat(16_384)))).flat();
    expect(lines.length).toBe(10);
    expect(lines.every(({ text }) => text.length <= LONGEST_LINE)).toBe(true);
  });

  it('says the same wherever the chunks end', () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 40 }).map((one) => one.replaceAll(/[\r\n]/g, ''));
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom(1, 2), text), { maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }),
        (messages, sizes) => {
          const whole = Buffer.concat(messages.map(([stream, line]) => frame(stream, `${line}\n`)));
          const frames = new LogFrames();
          const lines = [];
          for (let at = 0, turn = 0; at < whole.length; turn += 1) {
            const size = sizes[turn % sizes.length] ?? 1;
            lines.push(...frames.push(whole.subarray(at, at + size)));
            at += size;
          }
          expect(lines).toEqual(
            messages.map(([stream, line]) => ({ at: AT, stream: stream === 2 ? 'err' : 'out', text: line })),
          );
        },
      ),
    );
  });
});
