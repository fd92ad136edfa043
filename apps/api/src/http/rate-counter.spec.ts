import { MemoryCounter } from './rate-counter.js';

it('counts per key and starts again when the window ended', async () => {
  let now = 1_000;
  const counter = new MemoryCounter(() => now);
  expect(await counter.hit('a', 60)).toEqual({ count: 1, resetSeconds: 60 });
  now += 59_000;
  expect(await counter.hit('a', 60)).toEqual({ count: 2, resetSeconds: 1 });
  expect(await counter.hit('b', 60)).toMatchObject({ count: 1 });
  now += 1_000;
  expect(await counter.hit('a', 60)).toEqual({ count: 1, resetSeconds: 60 });
});

it('forgets ended windows, so the memory of many senders does not stay', async () => {
  let now = 0;
  const counter = new MemoryCounter(() => now);
  for (let sender = 0; sender < 10_000; sender += 1) {
    await counter.hit(`sender ${sender}`, 1);
  }
  now = 2_000;
  await counter.hit('last', 1);
  expect((counter as unknown as { windows: Map<string, unknown> }).windows.size).toBe(1);
});
