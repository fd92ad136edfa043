import { once } from 'node:events';
import { createServer } from 'node:net';
import { freePort } from './ports.js';

it('gives none twice, and none on which somebody listens', async () => {
  const given: number[] = [];
  for (let count = 0; count < 500; count += 1) {
    given.push(await freePort());
  }
  expect(new Set(given).size).toBe(given.length);
  const taken = createServer().listen((given.at(-1) ?? 0) + 1, '127.0.0.1');
  await once(taken, 'listening');
  try {
    expect(await freePort()).toBe((given.at(-1) ?? 0) + 2);
  } finally {
    taken.close();
  }
});
