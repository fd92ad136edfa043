import { outage, tradingBot, type DataPlaneWorld, type TradingOwner } from '../support/data-plane.js';
import { docker } from '../support/engine.js';
import { withOwnPlatform } from './own-platform.js';
import { atMost, quantile, round, type BenchResult } from './report.js';

const STACKS = 3;
const PER_SECOND = 30;

interface Options {
  minutes: number;
  say: (text: string) => void;
}

/** The promise that stacks do not need the portal, over a time that no cache and no retry bridges. */
export function dataPlane({ minutes, say }: Options): Promise<BenchResult> {
  return withOwnPlatform({}, async ({ platform, operator }): Promise<BenchResult> => {
    const owners: TradingOwner[] = [];
    for (let count = 0; count < STACKS; count += 1) {
      const owner = platform.client();
      await owner.signUp(operator, `owner${count}`, 'correct horse battery staple');
      const { stack, operation } = await owner.createStack();
      await owner.operationEnd(operation.id);
      await owner.signOn(stack.slug);
      owners.push({ owner, slug: stack.slug, bot: await tradingBot(platform, { owner, slug: stack.slug }) });
    }
    say(`${STACKS} bots trade; the portal goes away for ${minutes} minutes, under ${PER_SECOND} requests a second`);
    const world: DataPlaneWorld = {
      container: (service) => platform.container(service),
      sql: (statement) => platform.sql(statement),
      stackSql: (slug, statement) => platform.stackSql(slug, statement),
      docker,
    };
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
  });
}
