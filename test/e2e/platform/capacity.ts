import { execFile } from 'node:child_process';
import { rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { CapacityView, StackView } from '#libs/contracts';
import { waitFor } from '#libs/async';
import { openOrdersOf, tradingBot } from '../../support/data-plane.js';
import { docker } from '../../support/engine.js';
import { engineObjects } from '../../support/platform.js';
import { SOON, type PlatformWorld } from './world.js';

const run = promisify(execFile);
/** Of a real disk: what other tests take and give back meanwhile must not decide. */
const MARGIN_MB = 4_096;
const BEYOND_MB = 4_096;
/** The agent sees a full disk within ten seconds, and measures the stacks' before it asks them; room once a minute. */
const HELD = { deadlineMs: 150_000, intervalMs: 1_000, maxIntervalMs: 2_000 };

/** Room on the host: what is promised is counted, told, and refused when it runs out. */
export function capacity(world: () => PlatformWorld): void {
  afterEach(() => world().clear(), 120_000);

  const view = async (): Promise<CapacityView['engines'][number]> => {
    const { code, document } = await world().platform.cli<CapacityView>('capacity');
    const [engine] = document.data.engines;
    if (!engine) {
      throw new Error('no engine tells what it has');
    }
    expect(code).toBe(engine.level === 'bad' ? 8 : 0);
    return engine;
  };
  const item = async (resource: string) => (await view()).items.find((one) => one.resource === resource);

  it('counts what a stack takes, as the engine has it, while it runs and after it stopped', async () => {
    const before = await view();
    // The host’s own figures came from its agent.
    expect(before.items.filter(({ limit }) => limit !== null).map(({ resource }) => resource)).toEqual(
      expect.arrayContaining(['memory', 'cpu', 'diskFree', 'disk', 'subnets', 'edgePorts', 'pids']),
    );
    const { owner, slug } = await world().runningStack();
    const { limits } = await owner.stack(slug);
    expect(await item('memory')).toMatchObject({ used: limits.memoryMb });
    expect(await item('pids')).toMatchObject({ used: limits.pids });
    expect(await item('subnets')).toMatchObject({ used: 1 });
    await owner.order(slug, 'stop');
    expect(await item('memory')).toMatchObject({ used: 0 });
    expect(await item('subnets')).toMatchObject({ used: 1 });
  }, 120_000);

  it('FM-1 with no network left a stack is refused with the figures, and nothing of it is anywhere', async () => {
    const { platform } = world();
    const owner = await world().signedUp();
    const taken = await world().runningStack();
    const { limit } = (await item('subnets')) ?? {};
    // All but the one the stack has: its rows alone, since thousands of networks would be a test of the engine.
    await platform.sql('drop index tenant_subnets_tenant');
    try {
      await platform.sql(
        `insert into tenant_subnets (engine_id, subnet, tenant_id)
         select engine_id, n, tenant_id from tenant_subnets, generate_series(1, ${limit} - 1) as n`,
      );
      const objects = await engineObjects();
      await expect(owner.createStack()).rejects.toThrow(
        new RegExp(`answered 503: .*NO_CAPACITY.*of its ${limit} subnets .*"resource":"subnets"`),
      );
      const byHand = await platform.cli('tenant', 'create', '--user', 'person1');
      expect(byHand).toMatchObject({ code: 6, document: { error: { code: 'NO_CAPACITY' } } });
      expect(await engineObjects()).toEqual(objects);
      expect(await platform.sql('select count(*) from tenants')).toBe('1');
      expect(await platform.sql(`select count(*) from operations where state in ('queued', 'running')`)).toBe('0');
      expect(await view()).toMatchObject({ level: 'bad' });
      await world().served(taken);
    } finally {
      await platform.sql('delete from tenant_subnets where subnet > 0');
      await platform.sql('create unique index tenant_subnets_tenant on tenant_subnets (tenant_id)');
    }
    const { stack, operation } = await owner.createStack();
    await owner.operationEnd(operation.id);
    expect((await owner.stack(stack.slug)).status).toBe('running');
  }, 180_000);

  it('FM-23 of ten stacks asked for at once the engine is given six creates and starts at a time, and answers on', async () => {
    const { platform } = world();
    const people = await Promise.all(Array.from({ length: 10 }, () => world().signedUp()));
    platform.door.mostStarts = 0;
    const slowest = { ms: 0 };
    const asking = new AbortController();
    const answers = (async (): Promise<void> => {
      while (!asking.signal.aborted) {
        const begun = performance.now();
        await docker('version', '--format', '{{.Server.Version}}');
        slowest.ms = Math.max(slowest.ms, performance.now() - begun);
      }
    })();
    const made = await Promise.all(people.map((owner) => owner.createStack()));
    const ends = await Promise.all(made.map(async ({ operation }, at) => people[at]?.operationOver(operation.id)));
    asking.abort();
    await answers;
    expect(ends.map((end) => end?.state)).toEqual(made.map(() => 'done'));
    // More than one, so what is counted is counted rightly; no more than the semaphore's slots.
    expect(platform.door.mostStarts).toBeGreaterThan(2);
    expect(platform.door.mostStarts).toBeLessThanOrEqual(6);
    expect(slowest.ms).toBeLessThan(5_000);
    // A published port costs the engine a process and a rule each: no stack has one.
    const containers = (await platform.objects()).containers.filter((name) =>
      made.some(({ stack }) => name.includes(stack.slug)),
    );
    expect(containers).toHaveLength(30);
    const ports = await docker('inspect', '-f', '{{len .HostConfig.PortBindings}}', ...containers);
    expect(new Set(ports.split('\n'))).toEqual(new Set(['0']));
  }, 240_000);

  it('FM-27 a disk that fills up to what must stay free takes no new stack and has bots held, and with room there are new ones and bots trade', async () => {
    const { platform } = world();
    const root = await docker('info', '-f', '{{.DockerRootDir}}');
    const { bavail, bsize } = await statfs(root);
    const floorMb = Math.floor((bavail * bsize) / 1024 ** 2) - MARGIN_MB;
    const filler = join(root, 'aviary-test-filler');
    const full = (wanted: boolean): Promise<unknown> =>
      waitFor(
        async () => {
          const { used, limit } = (await item('diskFree')) ?? {};
          return used !== undefined && typeof limit === 'number' && used >= limit === wanted ? true : undefined;
        },
        { what: `the agent telling a disk that is ${wanted ? 'full' : 'not full'}`, ...SOON },
      );
    const up = async (): Promise<void> => expect(await platform.run('up')).toMatchObject({ code: 0 });
    const owner = await world().signedUp();
    await platform.withSettings({ AVIARY_DISK_FLOOR_MB: String(floorMb) }, async () => {
      await up();
      await full(false);
      const taken = await world().runningStack();
      const bot = await tradingBot(platform, taken);
      const trading = { ...taken, bot };
      const warnings = async (): Promise<StackView['warnings']> => (await taken.owner.stack(taken.slug)).warnings;
      const trades = (since: string): Promise<unknown> =>
        waitFor(async () => ((await openOrdersOf(trading)) > 0 ? true : undefined), {
          what: `open orders ${since}`,
          ...SOON,
        });
      await trades('before the disk fills');
      try {
        await run('fallocate', ['--length', `${MARGIN_MB + BEYOND_MB}MiB`, filler]);
        await full(true);
        expect(await item('diskFree')).toMatchObject({ level: 'bad' });
        const objects = await engineObjects();
        await expect(owner.createStack()).rejects.toThrow(/answered 503: .*"resource":"diskFree"/);
        expect(await platform.cli('tenant', 'create', '--user', 'person1')).toMatchObject({ code: 6 });
        expect(await engineObjects()).toEqual(objects);
        // What is there is held, though its own plan has room, and goes on.
        const said = await waitFor(
          async () => (await warnings()).find(({ code, heldSince }) => code === 'HOST_DISK_FULL' && heldSince !== null),
          { what: 'the bots being held for the host', ...HELD },
        );
        expect(said.message).toContain('It is the host, not the plan of the stack');
        expect(await openOrdersOf(trading)).toBe(0);
        expect((await taken.owner.stack(taken.slug)).status).toBe('running');
        const alarm = await waitFor(
          async () => {
            const { stdout } = await platform.run('aviary', 'alarm', 'list');
            return stdout.includes('1 of 1 that run hold theirs') ? stdout : undefined;
          },
          { what: 'operators being told how many hold', ...HELD },
        );
        expect(alarm).toContain('stack-disk/local/all');
        // It starts, and is held still.
        await taken.owner.order(taken.slug, 'restart');
        await world().served(taken);
        expect(await openOrdersOf(trading)).toBe(0);
      } finally {
        await rm(filler, { force: true });
      }
      await full(false);
      await waitFor(async () => ((await warnings()).some(({ code }) => code.includes('DISK')) ? undefined : true), {
        what: 'the end of the hold',
        ...HELD,
      });
      await trades('with room on the host');
      const { operation } = await owner.createStack();
      await owner.operationEnd(operation.id);
    });
    await up();
  }, 600_000);
}
