import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { waitFor } from '#libs/async';
import type { Bot, Market, RuntimeMe } from '#libs/contracts';
import { cutPower, docker, killEngine, startEngine } from '../../support/engine.js';
import { SOON, type PlatformWorld, type RunningStack } from './world.js';

/** Ten prices a second, so that levels of a narrow grid are crossed in seconds. */
const FASTER = `update settings set value = jsonb_set(value, '{tickMs}', '100') where key = 'price_source'`;

/** What the bot wrote down and what the exchange has, in one statement and so of one moment. */
interface Books {
  /** Client order ids, as the bot and as the exchange know them. */
  meant: string[];
  taken: string[];
  /** Numbers of trades: `order/trade`. */
  booked: string[];
  traded: string[];
}
const BOOKS = `select json_build_object(
  'meant', (select coalesce(json_agg(client_order_id), '[]') from orders where state not in ('pending', 'rejected')),
  'taken', (select coalesce(json_agg(client_order_id), '[]') from paper_orders),
  'booked', (select coalesce(json_agg(o.client_order_id || '/' || f.trade_id), '[]') from fills f join orders o on o.id = f.order_id),
  'traded', (select coalesce(json_agg(client_order_id || '/' || id), '[]') from paper_trades))`;

/** What systemd does with the unit before the engine starts: exactly its command, split at spaces, without a shell. */
async function runAsAtBoot(unit: string): Promise<void> {
  const command = /^ExecStart=(.+)$/m.exec(await readFile(unit, 'utf8'))?.[1];
  const [program, ...args] = command?.split(' ') ?? [];
  if (program === undefined) {
    throw new Error(`${unit} starts nothing`);
  }
  await promisify(execFile)(program, args);
}

/** What must go on without the portal: trading, and an owner's dashboard. */
export function dataPlane(world: () => PlatformWorld): void {
  afterAll(() => world().clear(), 120_000);

  async function tradingBot({ owner, slug }: RunningStack): Promise<string> {
    await world().platform.stackSql(slug, FASTER);
    expect(await owner.order(slug, 'restart')).toMatchObject({ state: 'done' });
    const host = owner.dashboardHost(slug);
    const market = (await owner.ask<Market>(host, '/api/v1/market')).body.pairs[0];
    const price = Number(market?.price);
    const made = await owner.ask<Bot>(host, '/api/v1/bots', {
      method: 'POST',
      body: {
        pair: market?.pair,
        start: true,
        params: {
          lower: (price * 0.985).toFixed(1),
          upper: (price * 1.015).toFixed(1),
          grids: 10,
          investment: '1000',
        },
      },
    });
    expect({ status: made.status, text: made.text }).toMatchObject({ status: 201 });
    return made.body.id;
  }

  /** A moment at which bot and exchange know of the same orders and trades, each once. */
  async function books(slug: string): Promise<Books> {
    const seen = await waitFor(
      async () => {
        const now = JSON.parse(await world().platform.stackSql(slug, BOOKS)) as Books;
        const same = (a: string[], b: string[]): boolean =>
          a.length === b.length && new Set([...a, ...b]).size === a.length;
        if (!same(now.meant, now.taken) || !same(now.booked, now.traded)) {
          throw new Error(
            `bot and exchange differ: ${now.meant.length} and ${now.taken.length} orders, ${now.booked.length} and ${now.traded.length} trades`,
          );
        }
        return now;
      },
      { what: 'bot and exchange knowing of the same orders and trades', ...SOON },
    );
    expect(seen.taken.length).toBeGreaterThan(0);
    return seen;
  }

  /** Everything of `before` is still there, and more was traded since. */
  function expectContinued(before: Books, after: Books): void {
    const lost = (a: string[], b: string[]): string[] => a.filter((item) => !b.includes(item));
    expect({ orders: lost(before.taken, after.taken), trades: lost(before.traded, after.traded) }).toEqual({
      orders: [],
      trades: [],
    });
    expect(after.traded.length).toBeGreaterThan(before.traded.length);
  }

  it('goes on with api, worker, agent and the portal’s database stopped, through an engine restart and a power cut', async () => {
    const { platform } = world();
    const stack = await world().runningStack();
    const { owner, slug } = stack;
    const host = owner.dashboardHost(slug);
    const bot = await tradingBot(stack);
    const fills = async (): Promise<number> => {
      const { status, body } = await owner.ask<Bot>(host, `/api/v1/bots/${bot}`);
      if (status !== 200 || !['running', 'waiting'].includes(body.status)) {
        throw new Error(`the bot answers ${status} ${body?.status ?? ''}`);
      }
      return body.fills;
    };
    const tradesOn = async (since: string): Promise<void> => {
      const before = await waitFor(() => fills(), { what: `the bot running ${since}`, ...SOON });
      await waitFor(async () => ((await fills()) > before ? true : undefined), {
        what: `a new fill ${since}`,
        deadlineMs: 120_000,
      });
      const page = await owner.ask(host, '/');
      expect(page.text).toContain('<script');
      const me = await owner.ask<RuntimeMe>(host, '/api/v1/me');
      expect(me).toMatchObject({ status: 200, body: { kind: 'person', role: 'owner', slug } });
    };
    await tradesOn('at first');

    const away = (['api', 'worker', 'agent', 'postgres'] as const).map((service) => platform.container(service));
    await docker('stop', '-t', '5', ...away);
    const running = async (): Promise<string[]> => (await docker('ps', '--format', '{{.Names}}')).split('\n');
    expect((await running()).filter((name) => away.includes(name))).toEqual([]);
    const atStop = await books(slug);
    await tradesOn('after the portal stopped');
    const afterStop = await books(slug);
    expectContinued(atStop, afterStop);

    await killEngine();
    await tradesOn('without the engine');
    await startEngine();
    await tradesOn('after the engine’s restart');
    const afterRestart = await books(slug);
    expectContinued(afterStop, afterRestart);

    await cutPower();
    await expect(owner.ask(host, '/')).rejects.toThrow();
    await runAsAtBoot(join(platform.facts.dataDir, 'firewall', `aviary-firewall-${platform.facts.prefix}.service`));
    await startEngine();
    const rules = (await promisify(execFile)('iptables', ['-S', 'DOCKER-USER'])).stdout.split('\n');
    expect(rules[1]).toContain(`-j AVIARY-FWD-${platform.facts.prefix}`);
    expect((await running()).filter((name) => away.includes(name))).toEqual([]);
    await tradesOn('after the power cut');
    expectContinued(afterRestart, await books(slug));

    await docker('start', ...away);
    await waitFor(
      async () => ((await owner.ask(platform.place.portalDomain, '/readyz')).status === 200 ? true : undefined),
      { what: 'the portal being back', deadlineMs: 120_000 },
    );
    expect((await owner.stack(slug)).slug).toBe(slug);
  }, 600_000);
}
