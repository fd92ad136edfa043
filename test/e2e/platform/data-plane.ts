import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { waitFor } from '#libs/async';
import type { Bot, RuntimeMe } from '#libs/contracts';
import {
  booksOf,
  outage,
  tradingBot,
  type Books,
  type DataPlaneWorld,
  type TradingOwner,
} from '../../support/data-plane.js';
import { cutPower, docker, killEngine, startEngine } from '../../support/engine.js';
import type { TestPlatform } from '../../support/platform.js';
import { SOON, type PlatformWorld } from './world.js';

/** What systemd does with the unit before the engine starts: exactly its command, split at spaces, without a shell. */
async function runAsAtBoot(unit: string): Promise<void> {
  const command = /^ExecStart=(.+)$/m.exec(await readFile(unit, 'utf8'))?.[1];
  const [program, ...args] = command?.split(' ') ?? [];
  if (program === undefined) {
    throw new Error(`${unit} starts nothing`);
  }
  await promisify(execFile)(program, args);
}

const parts = (platform: TestPlatform): Omit<DataPlaneWorld, 'docker'> => ({
  container: (service) => platform.container(service),
  sql: (statement) => platform.sql(statement),
  stackSql: (slug, statement) => platform.stackSql(slug, statement),
});

/** Names of what is on a network of the engine, as the engine tells it. */
const membersOf = async (network: string): Promise<string[]> =>
  (await docker('network', 'inspect', '-f', '{{range .Containers}}{{.Name}} {{end}}', network)).split(' ');

/** What must go on without the portal: trading, and an owner's dashboard. */
export function dataPlane(world: () => PlatformWorld): void {
  afterAll(() => world().clear(), 120_000);

  const books = (slug: string): Promise<Books> => booksOf(world().platform, slug);

  /** Everything of `before` is still there, and more was traded since. */
  function expectContinued(before: Books, after: Books): void {
    const lost = (a: string[], b: string[]): string[] => a.filter((item) => !b.includes(item));
    expect({ orders: lost(before.taken, after.taken), trades: lost(before.traded, after.traded) }).toEqual({
      orders: [],
      trades: [],
    });
    expect(after.traded.length).toBeGreaterThan(before.traded.length);
  }

  it('serves signed-in owners under load without one failure, trades without a gap, and reports once, with the portal away for 75 s', async () => {
    const { platform } = world();
    const owners: TradingOwner[] = [];
    for (let count = 0; count < 2; count += 1) {
      const { owner, slug } = await world().runningStack();
      const bot = await tradingBot(platform, { owner, slug });
      await waitFor(
        async () => ((await owner.ask(owner.dashboardHost(slug), '/ready')).status === 200 ? true : undefined),
        {
          what: `the dashboard of ${slug}`,
          ...SOON,
        },
      );
      owners.push({ owner, slug, bot });
    }
    const found = await outage({ ...parts(platform), docker }, owners, { seconds: 75, perSecond: 20 });
    expect(found.load.failed).toEqual([]);
    expect(found.load.requests).toBeGreaterThan(75 * 20 * 0.9);
    expect({ quiet: found.quietQuarters, lost: found.lost }).toEqual({ quiet: [], lost: [] });
    expect(found.trades).toBeGreaterThan(0);
    expect(found.reports).toEqual({ waited: found.reports.arrived, arrived: found.reports.waited, wrong: [] });
    // Each of the two started and stopped a bot meanwhile.
    expect(found.reports.waited).toBeGreaterThanOrEqual(4);
    await waitFor(
      async () =>
        (await owners[0]?.owner.ask(platform.place.portalDomain, '/readyz'))?.status === 200 ? true : undefined,
      { what: 'the portal being back', deadlineMs: 120_000 },
    );
    await world().clear();
  }, 600_000);

  it('FM-3 goes on with api, worker, agent and the portal’s database stopped, through an engine restart and a power cut, its proxy on none of its networks', async () => {
    const { platform } = world();
    const stack = await world().runningStack();
    const { owner, slug } = stack;
    const [runtime, proxy] = [platform.service(slug, 'runtime'), platform.container('traefik')];
    const networksOf = async (container: string): Promise<string[]> =>
      (await docker('inspect', '-f', '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}', container))
        .trim()
        .split(' ');
    /** Nobody is there to attach it to anything, and nothing needs to: it reaches the runtime by address. */
    const proxyIsOutside = async (): Promise<void> => {
      expect(await networksOf(proxy)).toEqual(['host']);
      const networks = await networksOf(runtime);
      expect(networks).toHaveLength(2);
      for (const network of networks) {
        const members = await membersOf(network);
        expect({ network, members }).toEqual({ network, members: expect.arrayContaining([runtime]) });
        expect(members).not.toContain(proxy);
      }
    };
    const host = owner.dashboardHost(slug);
    const bot = await tradingBot(platform, stack);
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

    const away = (['api', 'api2', 'worker', 'agent', 'postgres'] as const).map((service) =>
      platform.container(service),
    );
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
    await proxyIsOutside();
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
    await proxyIsOutside();
    expectContinued(afterRestart, await books(slug));

    await docker('start', ...away);
    await waitFor(
      async () => ((await owner.ask(platform.place.portalDomain, '/readyz')).status === 200 ? true : undefined),
      { what: 'the portal being back', deadlineMs: 120_000 },
    );
    expect((await owner.stack(slug)).slug).toBe(slug);
  }, 600_000);
}
