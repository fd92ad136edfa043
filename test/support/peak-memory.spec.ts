import { peakOf } from './peak-memory.js';

/** Gives these, one after the other, and the last again and again; resolves `all` once each was asked for. */
function looks(figures: (number | undefined)[]) {
  const { promise, resolve } = Promise.withResolvers<void>();
  let at = 0;
  return {
    all: promise,
    look: () => {
      const figure = figures[Math.min(at, figures.length - 1)];
      at += 1;
      if (at >= figures.length) {
        resolve();
      }
      return Promise.resolve(figure);
    },
  };
}

it('gives what the work gave, and the highest of what was seen meanwhile', async () => {
  const { look, all } = looks([3, 9, 5]);
  expect(await peakOf(look, () => all.then(() => 'done'), 1)).toEqual(['done', 9]);
});

it('looks behind the end too, also of work that is over at once', async () => {
  const { look } = looks([3, 7]);
  expect(await peakOf(look, () => Promise.resolve('done'), 60_000)).toEqual(['done', 7]);
});

it.each([
  ['is missing', [undefined]],
  ['goes missing', [3, undefined]],
  ['is none', [3, 0]],
])('fails where a figure %s', async (_how, figures) => {
  const { look, all } = looks(figures);
  await expect(peakOf(look, () => all, 1)).rejects.toThrow('missing');
});

it('fails where nothing can be read, and with what the work failed with', async () => {
  const unread = peakOf(
    () => Promise.reject(new Error('no control group')),
    () => Promise.resolve(),
    1,
  );
  await expect(unread).rejects.toThrow('no control group');
  const failed = peakOf(
    () => Promise.resolve(3),
    () => Promise.reject(new Error('of its own')),
    1,
  );
  await expect(failed).rejects.toThrow('of its own');
});
