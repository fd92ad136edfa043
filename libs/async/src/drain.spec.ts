import { setImmediate as turn } from 'node:timers/promises';
import { Drain } from './drain.js';

const TIMES = { longestMs: 5_000, quietMs: 200 };

it('one to whom nothing came for long waits all the same once the proxy was told: a request may be on its way', async () => {
  const drain = new Drain();
  expect(drain.asked()).toBe(true);
  let left: boolean | undefined;
  const leaving = drain.leave(TIMES).then((told) => (left = told));
  expect(drain.asked()).toBe(false);
  drain.wasTold();
  for (let count = 0; count < 10; count += 1) {
    await turn();
  }
  expect(left).toBeUndefined();
  drain.arrived();
  expect(drain.isLeaving).toBe(true);
  expect(await leaving).toBe(true);
});
