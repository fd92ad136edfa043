import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { waitFor } from '#libs/async';
import { outage, tradingBot, type DataPlaneWorld, type TradingOwner } from '../support/data-plane.js';
import { customer, readWorld } from './provision.js';
import { atMost, quantile, round, type BenchResult } from './report.js';

const execute = promisify(execFile);
const STACKS = 3;
const PER_SECOND = 30;

interface Options {
  minutes: number;
  /** Where the running platform's .env lies. Its portal is away meanwhile. */
  root: string;
  say: (text: string) => void;
}

const docker = async (...args: string[]): Promise<string> => (await execute('docker', args)).stdout.trim();

/** The promise that stacks do not need the portal, over a time that no cache and no retry bridges. */
export async function dataPlane({ minutes, root, say }: Options): Promise<BenchResult> {
  const { prefix, place } = await readWorld(root);
  const psql = (container: string, user: string, statement: string): Promise<string> =>
    docker('exec', container, 'psql', '-U', user, '-d', 'aviary', '-Atc', statement);
  const world: DataPlaneWorld = {
    container: (service) => `aviary-${prefix}-${service}`,
    sql: (statement) => psql(`aviary-${prefix}-postgres`, 'aviary_owner', statement),
    stackSql: (slug, statement) => psql(`aviary-${prefix}-${slug}-postgres`, 'aviary', statement),
    docker,
  };
  const accounts: string[] = [];
  const owners: TradingOwner[] = [];
  try {
    for (let count = 0; count < STACKS; count += 1) {
      const owner = await customer({ place }, root, accounts);
      const { stack, operation } = await owner.createStack();
      const trading: TradingOwner = { owner, slug: stack.slug, bot: '' };
      owners.push(trading);
      await owner.operationEnd(operation.id);
      await owner.signOn(stack.slug);
      trading.bot = await tradingBot(world, trading);
    }
    say(`${STACKS} bots trade; the portal goes away for ${minutes} minutes, under ${PER_SECOND} requests a second`);
    const found = await outage(world, owners, { seconds: minutes * 60, perSecond: PER_SECOND });
    found.load.failed.slice(0, 20).forEach(say);
    const { load, reports } = found;
    const none = (metric: string, value: number): ReturnType<typeof atMost> => atMost(metric, '', 0, value);
    return {
      metrics: {
        seconds: round(found.seconds),
        requests: load.requests,
        p50_ms: round(quantile(load.latencies, 0.5), 1),
        p99_ms: round(quantile(load.latencies, 0.99), 1),
        trades: found.trades,
        reports: reports.waited,
      },
      goals: [
        none('failed requests of signed-in owners', load.failed.length),
        none('orders and trades lost', found.lost.length),
        none('quarters of the time without a trade of a bot', found.quietQuarters.length),
        none('reports that did not arrive exactly once', reports.waited - reports.arrived),
      ],
      lines: [
        `${round(found.seconds)} s without api, worker, agent and portal database, ${STACKS} stacks`,
        `${load.requests} requests of signed-in owners, p50 ${round(quantile(load.latencies, 0.5), 1)} ms, p99 ${round(quantile(load.latencies, 0.99), 1)} ms`,
        `${found.trades} trades, ${reports.waited} reports waited`,
      ],
    };
  } finally {
    for (const { owner, slug } of owners) {
      // By the operator's way: the owner's own access token did not outlast the portal's absence.
      await waitFor(() => execute(join(root, 'scripts/aviary'), ['tenant', 'destroy', slug, `--confirm=${slug}`]), {
        what: `the end of ${slug}`,
        deadlineMs: 180_000,
        maxIntervalMs: 5_000,
      });
      owner.close();
    }
    say(`${accounts.length} accounts stay on this platform, since accounts cannot be deleted: ${accounts.join(', ')}`);
  }
}
