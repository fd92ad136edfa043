import { runInOrder } from './schedule.js';

const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

it('runs independent actions side by side and dependent ones after what they need', async () => {
  const log: string[] = [];
  let running = 0;
  let peak = 0;
  await runInOrder(
    [
      { id: 'network', needs: [] },
      { id: 'a', needs: ['network'] },
      { id: 'b', needs: ['network'] },
      { id: 'start', needs: ['a', 'b'] },
    ],
    async ({ id }) => {
      running += 1;
      peak = Math.max(peak, running);
      await tick();
      running -= 1;
      log.push(id);
    },
  );
  expect(log[0]).toBe('network');
  expect(log[3]).toBe('start');
  expect(peak).toBe(2);
});

it('starts nothing new after a failure and waits for what runs', async () => {
  const log: string[] = [];
  const failed = runInOrder(
    [
      { id: 'slow', needs: [] },
      { id: 'bad', needs: [] },
      { id: 'after', needs: ['slow'] },
    ],
    async ({ id }) => {
      if (id === 'bad') {
        throw new Error('refused');
      }
      await tick();
      await tick();
      log.push(id);
    },
  );
  await expect(failed).rejects.toThrow('refused');
  expect(log).toEqual(['slow']);
});

it('refuses a need that is not in the plan, and a circle', async () => {
  await expect(runInOrder([{ id: 'a', needs: ['ghost'] }], tick)).rejects.toThrow('ghost');
  await expect(
    runInOrder(
      [
        { id: 'a', needs: ['b'] },
        { id: 'b', needs: ['a'] },
      ],
      tick,
    ),
  ).rejects.toThrow('circle');
});
