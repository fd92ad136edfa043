import { PassThrough } from 'node:stream';
import { firstLineOfStdin, whileHeld } from './stdin.js';

it('reads one line and waits for no more', async () => {
  const input = new PassThrough();
  input.write('many a mickle ');
  input.write('makes a muckle\r\nand more');
  expect(await firstLineOfStdin(input)).toBe('many a mickle makes a muckle');
  const ended = new PassThrough();
  ended.end('without its end');
  expect(await firstLineOfStdin(ended)).toBe('without its end');
});

it('tells work that what holds it has gone, also where the line before it was read', async () => {
  const input = new PassThrough();
  input.write('line\n');
  await firstLineOfStdin(input);
  const gone = await whileHeld(async (signal) => {
    input.end();
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
    return signal.aborted;
  }, input);
  expect(gone).toBe(true);
  expect(await whileHeld((signal) => Promise.resolve(signal.aborted), input)).toBe(true);
});

it('leaves work alone that ends while it is held', async () => {
  const input = new PassThrough();
  expect(await whileHeld((signal) => Promise.resolve(signal.aborted), input)).toBe(false);
  expect(input.isPaused()).toBe(true);
});
