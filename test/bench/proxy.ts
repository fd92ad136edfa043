import { setTimeout as pause } from 'node:timers/promises';
import { waitFor } from '#libs/async';
import type { PortalClient } from '../support/portal-client.js';
import { makeStacks, signInAgain, withOwnPlatform } from './own-platform.js';
import { atMost, median, quantile, round, type BenchResult } from './report.js';

interface Options {
  minutes: number;
  say: (text: string) => void;
}

const PER_SECOND = 200;
const SLICE_SECONDS = 5;
const REVOCATIONS = 10;
const LOOK_EVERY_MS = 25;
const REVOKED_WITHIN_MS = 30_000;

/**
 * The same answer of the same runtime through the same proxy: behind the sign-on, and by the address whose tokens the
 * runtime checks itself, which leads past the gate. Turn by turn, so that both meet the same machine. Then how long a
 * dashboard still opens after its owner signed out.
 */
export function proxy({ minutes, say }: Options): Promise<BenchResult> {
  return withOwnPlatform({}, async ({ customer }): Promise<BenchResult> => {
    const [slug = ''] = (await makeStacks(customer, 1, say)).slugs;
    await customer.signOn(slug);
    const [guarded, plain] = [customer.dashboardHost(slug), customer.apiHost(slug)];
    const turns = Math.max(1, Math.round((minutes * 60) / (2 * SLICE_SECONDS)));
    // Connections and caches of both ways, before anything counts.
    await slice(customer, guarded);
    await slice(customer, plain);
    say(`${turns} turns of ${SLICE_SECONDS} s each way at ${PER_SECOND} requests a second`);
    const times: Record<'guarded' | 'plain', number[]> = { guarded: [], plain: [] };
    let failed = 0;
    for (let turn = 0; turn < turns; turn += 1) {
      for (const [way, host] of [
        ['guarded', guarded],
        ['plain', plain],
      ] as const) {
        const got = await slice(customer, host);
        times[way].push(...got.latencies);
        failed += got.failed;
      }
    }
    const revoked: number[] = [];
    for (let turn = 0; turn < REVOCATIONS; turn += 1) {
      revoked.push(await signedOut(customer, slug));
      await signInAgain(customer);
      await customer.signOn(slug);
    }
    const added = round(median(times.guarded) - median(times.plain), 2);
    const slowest = round(Math.max(...revoked) / 1_000, 2);
    const line = (name: string, values: readonly number[]): string =>
      `${name.padEnd(30)} p50 ${round(median(values), 2)} ms   p95 ${round(quantile(values, 0.95), 2)} ms   p99 ${round(quantile(values, 0.99), 2)} ms   (${values.length})`;
    return {
      metrics: {
        guarded_p50_ms: round(median(times.guarded), 2),
        guarded_p99_ms: round(quantile(times.guarded, 0.99), 2),
        plain_p50_ms: round(median(times.plain), 2),
        plain_p99_ms: round(quantile(times.plain, 0.99), 2),
        added_p50_ms: added,
        failed,
        revoked_p50_s: round(median(revoked) / 1_000, 2),
        revoked_max_s: slowest,
      },
      goals: [
        atMost('added by the sign-on, median', 'ms', 2, added),
        atMost(`a session’s end is known, slowest of ${REVOCATIONS}`, 's', 5, slowest),
        atMost('failed requests', '', 0, failed),
      ],
      lines: [line('behind the sign-on', times.guarded), line('past it', times.plain)],
    };
  });
}

/** Asks at an even pace, whether or not the last one was answered. */
async function slice(customer: PortalClient, host: string): Promise<{ latencies: number[]; failed: number }> {
  const latencies: number[] = [];
  let failed = 0;
  const one = async (): Promise<void> => {
    const began = performance.now();
    const { status } = await customer.ask(host, '/ready');
    latencies.push(performance.now() - began);
    failed += status === 200 ? 0 : 1;
  };
  const open: Promise<void>[] = [];
  const began = performance.now();
  for (let number = 1; number <= PER_SECOND * SLICE_SECONDS; number += 1) {
    open.push(one());
    await pause(Math.max(0, began + (number * 1_000) / PER_SECOND - performance.now()));
  }
  await Promise.all(open);
  return { latencies, failed };
}

/** Milliseconds from the answer to signing out until the dashboard is shut. */
async function signedOut(customer: PortalClient, slug: string): Promise<number> {
  const host = customer.dashboardHost(slug);
  const before = await customer.ask(host, '/ready');
  if (before.status !== 200) {
    throw new Error(`a signed-in owner was answered ${before.status}`);
  }
  await customer.api('POST', '/auth/logout');
  const began = performance.now();
  await waitFor(async () => ((await customer.ask(host, '/ready')).status === 200 ? undefined : true), {
    what: `the end of a session at ${slug}`,
    deadlineMs: REVOKED_WITHIN_MS,
    intervalMs: LOOK_EVERY_MS,
    maxIntervalMs: LOOK_EVERY_MS,
  });
  return performance.now() - began;
}
