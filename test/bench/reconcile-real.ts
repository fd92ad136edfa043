import { setTimeout as pause } from 'node:timers/promises';
import { waitFor } from '#libs/async';
import { docker } from '../support/engine.js';
import type { TestPlatform } from '../support/platform.js';
import { makeStacks, withOwnPlatform } from './own-platform.js';
import { atMost, median, round, type BenchResult } from './report.js';

interface Options {
  stacks: number;
  say: (text: string) => void;
}

const PASSES = 10;
const PASS_MS = 60_000;
const REPAIRED_MS = 60_000;
const SERVICES = ['postgres', 'redis', 'runtime'] as const;

/**
 * Looks of a real agent at a real engine with so many real stacks, as the agent itself timed them. Each is brought about
 * by cutting its connections to the engine, after which it must not trust what it was told; whatever is removed just
 * then, it finds by looking. The way to the engine leads through this process, which costs a little.
 */
export function reconcileReal({ stacks, say }: Options): Promise<BenchResult> {
  return withOwnPlatform({ AVIARY_LOG_LEVEL: 'debug' }, async ({ platform, customer }): Promise<BenchResult> => {
    const { slugs } = await makeStacks(customer, stacks, say);
    const passes: number[] = [];
    let repaired = 0;
    for (let turn = 0; turn < PASSES; turn += 1) {
      const before = (await looks(platform)).length;
      const slug = slugs[Math.floor(Math.random() * slugs.length)] ?? '';
      const service = SERVICES[Math.floor(Math.random() * SERVICES.length)] ?? 'redis';
      const container = platform.service(slug, service);
      const gone = await docker('inspect', '-f', '{{.Id}}', container);
      platform.door.cut();
      await docker('rm', '-f', container);
      const seen = await waitFor(async () => (await looks(platform))[before], {
        what: 'the agent’s look at the whole engine',
        deadlineMs: PASS_MS,
      });
      if (seen.stacks !== stacks) {
        throw new Error(`the agent compared ${seen.stacks} stacks of ${stacks}`);
      }
      passes.push(seen.ms);
      repaired += (await isMadeAnew(platform, container, gone)) ? 1 : 0;
      say(`${turn + 1}/${PASSES}: ${seen.ms} ms, ${repaired} repaired`);
      // The repair is no part of the next look.
      await pause(2_000);
    }
    const slowest = Math.max(...passes);
    return {
      metrics: { stacks, pass_p50_ms: round(median(passes)), pass_max_ms: slowest, repaired },
      goals: [
        atMost(`a look at ${stacks} real stacks, median`, 's', 2, round(median(passes) / 1_000, 2)),
        atMost('the slowest of them', 's', 2, round(slowest / 1_000, 2)),
        {
          metric: 'removed containers made anew',
          unit: `of ${PASSES}`,
          goal: `= ${PASSES}`,
          value: repaired,
          met: repaired === PASSES,
        },
      ],
      lines: [
        `${stacks} real stacks: a look takes ${round(median(passes))} ms (median of ${PASSES}), at most ${slowest} ms`,
      ],
    };
  });
}

/** Every look at the whole engine that the agent's log tells of, oldest first. */
async function looks(platform: TestPlatform): Promise<{ stacks: number; ms: number }[]> {
  const log = await docker('logs', platform.container('agent'));
  return log
    .split('\n')
    .filter((line) => line.includes('looked at the whole engine'))
    .map((line) => JSON.parse(line) as { stacks: number; ms: number });
}

function isMadeAnew(platform: TestPlatform, container: string, gone: string): Promise<boolean> {
  return waitFor(
    async () => {
      const [id, status] = (await docker('inspect', '-f', '{{.Id}} {{.State.Status}}', container)).split(' ');
      const open = await platform.sql(`select count(*) from operations where state in ('queued', 'running')`);
      return id !== gone && status === 'running' && open === '0' ? true : undefined;
    },
    { what: `${container} made anew`, deadlineMs: REPAIRED_MS },
  ).catch(() => false);
}
