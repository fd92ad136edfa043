import type { LogBatch } from '#libs/contracts';
import type { LogLine } from '#libs/engine';

/** Lines held for a reader that is slower than the writer: some 200 KB of usual lines, 1/8 MiB at the very most each. */
const MOST_HELD = 2_000;
const MOST_BYTES = 4 * 1024 * 1024;
const BATCH = 200;

/**
 * Batches of lines at the reader's pace. What it is too slow for is dropped, oldest first, and counted in the batch
 * that comes after: memory stays bounded, the engine is never held up, and no gap goes unsaid.
 */
export async function* batched(
  lines: AsyncIterable<LogLine>,
  { held = MOST_HELD, bytes = MOST_BYTES }: { held?: number; bytes?: number } = {},
): AsyncGenerator<LogBatch> {
  const queue: LogLine[] = [];
  let size = 0;
  let dropped = 0;
  let over = false;
  let failure: { error: unknown } | null = null;
  let wake = Promise.withResolvers<void>();
  const iterator = lines[Symbol.asyncIterator]();
  const pump = async (): Promise<void> => {
    for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
      queue.push(next.value);
      size += next.value.text.length;
      while (queue.length > held || size > bytes) {
        size -= queue.shift()?.text.length ?? 0;
        dropped += 1;
      }
      wake.resolve();
    }
  };
  const pumping = pump()
    .catch((error: unknown) => {
      failure = { error };
    })
    .finally(() => {
      over = true;
      wake.resolve();
    });
  try {
    while (true) {
      if (queue.length === 0 && !over) {
        await wake.promise;
        wake = Promise.withResolvers<void>();
        continue;
      }
      if (failure !== null) {
        throw (failure as { error: unknown }).error;
      }
      const taken = queue.splice(0, BATCH);
      size -= taken.reduce((sum, { text }) => sum + text.length, 0);
      const ended = over && queue.length === 0;
      // Before it is handed out: what is dropped while the reader is busy belongs to the next batch.
      const missing = dropped;
      dropped = 0;
      yield { lines: taken, dropped: missing, ended };
      if (ended) {
        return;
      }
    }
  } finally {
    await iterator.return?.();
    await pumping;
  }
}
