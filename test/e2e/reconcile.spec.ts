import { execFile } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { waitFor } from '#libs/async';
import { SERVED_FILE, type DynamicFile } from '#libs/edge';
import { docker, killEngine, killProcess, pidOf, startEngine, testImage } from '../support/engine.js';
import { SERVICES, WatchedStack, type Service } from './platform/watched-stack.js';
import { SOON, type PlatformWorld, type RunningStack } from './platform/world.js';

let watched: WatchedStack;
let world: PlatformWorld;
let stack: RunningStack;

beforeAll(async () => {
  watched = await WatchedStack.open();
  ({ world, stack } = watched);
}, 300_000);
afterAll(async () => {
  await world?.platform.stop();
}, 180_000);

describe('FM-13 a stack on a real engine comes back by itself', () => {
  it('a container killed, and one stopped', async () => {
    await watched.repaired(() => docker('kill', watched.container('runtime')));
    await watched.repaired(() => docker('stop', '-t', '5', watched.container('redis')));
  }, 240_000);

  it('a container removed, and one paused', async () => {
    await watched.repaired(() => docker('rm', '-f', watched.container('postgres')));
    await watched.repaired(() => docker('pause', watched.container('runtime')));
  }, 240_000);

  it('a network disconnected, one attached that is not its own, and its network removed', async () => {
    await watched.repaired(() => docker('network', 'disconnect', watched.network, watched.container('runtime')));
    await docker('network', 'create', '--internal', '--subnet', '198.18.78.0/28', 'somebody-elses');
    await watched.repaired(() => docker('network', 'connect', 'somebody-elses', watched.container('redis')));
    await docker('network', 'rm', 'somebody-elses');
    await watched.repaired(async () => {
      await Promise.all(
        SERVICES.map((service) => docker('network', 'disconnect', '-f', watched.network, watched.container(service))),
      );
      await docker('network', 'rm', watched.network);
    });
  }, 300_000);

  it('a container whose network was made anew while it was stopped', async () => {
    await watched.repaired(() =>
      world.withoutAgent(async () => {
        await docker('stop', '-t', '5', ...watched.containers);
        await docker('network', 'rm', watched.network);
      }),
    );
  }, 240_000);

  it('limits and restart policy changed by hand', async () => {
    await watched.repaired(() =>
      docker('update', '--memory', '100m', '--memory-swap', '100m', watched.container('redis')),
    );
    await watched.repaired(() => docker('update', '--restart', 'no', watched.container('runtime')));
  }, 240_000);

  it('the tag of its image moved: what is made anew is made of the image it was made of', async () => {
    const tag = testImage('redis');
    const id = await docker('image', 'inspect', '-f', '{{.Id}}', tag);
    await docker('tag', testImage('postgres'), tag);
    try {
      await watched.repaired(() => docker('rm', '-f', watched.container('redis')));
    } finally {
      await docker('tag', id, tag);
    }
  }, 240_000);

  it('a secret file edited, and one deleted, noticed when a container starts', async () => {
    const inSecrets = (service: Service, script: string): Promise<string> => {
      const volume = `${watched.container(service)}-secrets:/s`;
      const options = ['--rm', '--user', '0:0', '--entrypoint', 'sh', '-v', volume, testImage('postgres'), '-c'];
      return docker('run', ...options, script);
    };
    await watched.repaired(async () => {
      await inSecrets('runtime', 'echo "{}" > /s/spec.json');
      await docker('restart', '-t', '5', watched.container('runtime'));
    });
    await watched.repaired(async () => {
      await inSecrets('runtime', 'rm /s/database-password');
      await docker('restart', '-t', '5', watched.container('runtime'));
    });
  }, 300_000);

  it('its route file edited and deleted, and what the proxy reads', async () => {
    const served = join(world.platform.facts.dataDir, 'routes', SERVED_FILE);
    const paths = [watched.route, served];
    // The canary's number goes on by itself.
    const read = async (): Promise<string> => {
      const texts = await Promise.all(paths.map((path) => readFile(path, 'utf8').catch(() => '')));
      return texts.join('\n').replace(/"X-Aviary-Routes":"\d+"/, '');
    };
    const mended = async (damage: () => Promise<void>): Promise<void> => {
      const ours = await read();
      await damage();
      expect(await read()).not.toBe(ours);
      await waitFor(async () => ((await read()) === ours ? true : undefined), {
        what: 'the files as they were before',
        ...SOON,
      });
    };
    // A file that is gone, and one that does not read, change nothing of what is served.
    await mended(async () => {
      await writeFile(watched.route, '{}');
      await rm(served);
    });
    await mended(async () => {
      await rm(watched.route);
      await writeFile(served, 'http: [');
    });
    expect(await world.answers(stack)).toBe(true);
    // One that reads and leaves the stack out takes it away from its owner, until it is whole again.
    const { http, ...rest } = JSON.parse(await readFile(served, 'utf8')) as DynamicFile;
    const routers = Object.entries(http.routers).filter(([name]) => !name.startsWith(stack.slug));
    const without = JSON.stringify({ ...rest, http: { ...http, routers: Object.fromEntries(routers) } });
    await mended(() => writeFile(served, without));
    // That is within seconds, which may be before the proxy has read it: with nobody to mend it, all see what it does.
    const ours = await read();
    await world.withoutAgent(async () => {
      await writeFile(served, without);
      await waitFor(async () => ((await world.answers(stack)) ? undefined : true), {
        what: 'the route’s end',
        ...SOON,
      });
    });
    await waitFor(async () => ((await read()) === ours ? true : undefined), {
      what: 'the files as they were before',
      ...SOON,
    });
    await watched.back();
    expect(await watched.operations()).not.toContain('failed');
  }, 300_000);

  it('every container gone but the volumes, as on a host that was rebuilt', async () => {
    await world.platform.stackSql(stack.slug, 'create table kept as select 42 as n');
    await watched.repaired(() =>
      world.withoutAgent(async () => {
        await docker('rm', '-f', ...watched.containers);
        await docker('network', 'rm', watched.network);
        await rm(watched.route);
      }),
    );
    expect(await world.platform.stackSql(stack.slug, 'select n from kept')).toBe('42');
  }, 240_000);

  it('the engine restarted, a process of the stack killed meanwhile', async () => {
    await killProcess(watched.container('runtime'), killEngine);
    await startEngine();
    await watched.back();
    // Events are told again.
    await watched.repaired(() => docker('kill', watched.container('runtime')));
  }, 300_000);

  it('the agent away while it happened', async () => {
    await watched.repaired(() =>
      world.withoutAgent(async () => {
        await docker('kill', watched.container('runtime'));
        await docker('rm', '-f', watched.container('redis'));
        await docker('network', 'disconnect', '-f', watched.network, watched.container('postgres'));
      }),
    );
  }, 240_000);

  it('the firewall’s rules flushed', async () => {
    const { prefix } = world.platform.facts;
    const rules = async (): Promise<string[]> =>
      (await promisify(execFile)('iptables', ['-S'])).stdout.split('\n').filter((line) => line.includes(prefix));
    const loaded = await rules();
    const chains = loaded.flatMap((line) => /^-N (\S+)/.exec(line)?.[1] ?? []);
    expect(chains.length).toBeGreaterThan(1);
    for (const chain of chains) {
      await promisify(execFile)('iptables', ['-F', chain]);
    }
    expect(await rules()).not.toEqual(loaded);
    await waitFor(async () => ((await rules()).join('\n') === loaded.join('\n') ? true : undefined), {
      what: 'the rules as they were',
      deadlineMs: 90_000,
      intervalMs: 500,
    });
  }, 120_000);
});

it('FM-25 a process that dies again and again stops the stack, which says why and waits for a person', async () => {
  await watched.back();
  for (let death = 0; death < 5; death += 1) {
    const pid = await killProcess(watched.container('runtime'));
    await waitFor(
      async () => {
        const now = await pidOf(watched.container('runtime'));
        return (now !== 0 && now !== pid) || death === 4 ? true : undefined;
      },
      { what: 'the engine starting it again', deadlineMs: 30_000 },
    );
  }
  const broken = await waitFor(
    async () => {
      const seen = await stack.owner.stack(stack.slug);
      return seen.holds.includes('breaker') && seen.openOperation === null ? seen : undefined;
    },
    { what: 'the breaker', deadlineMs: 90_000 },
  );
  expect(broken).toMatchObject({ status: 'attention', reasonCode: 'CRASH_LOOP' });
  expect(broken.reason).toMatch(/^runtime ended 5 times in ten minutes, last with exit code 137/);
  const states = await docker(
    'inspect',
    '-f',
    '{{.State.Status}} {{.HostConfig.RestartPolicy.Name}}',
    ...watched.containers,
  );
  expect(states.split('\n')).toEqual(['exited no', 'exited no', 'exited no']);
  expect(await stack.owner.order(stack.slug, 'start')).toMatchObject({ state: 'done', error: null });
  await watched.back();
}, 240_000);

it('a volume that vanished is not made anew: the stack says so, and nothing is tried in a circle', async () => {
  await watched.forgetOperations();
  const data = (await world.platform.objects()).volumes.find((name) => name.includes(`${stack.slug}-data`)) ?? '';
  await world.withoutAgent(async () => {
    await docker('rm', '-f', watched.container('postgres'));
    await docker('volume', 'rm', data);
  });
  const lost = await waitFor(
    async () => {
      const seen = await stack.owner.stack(stack.slug);
      return seen.reasonCode === 'DATA_MISSING' ? seen : undefined;
    },
    { what: 'the loss being told', deadlineMs: 60_000 },
  );
  expect(lost).toMatchObject({ status: 'attention', openOperation: null });
  await docker('stop', '-t', '5', watched.container('redis'));
  await waitFor(
    async () =>
      (await world.platform.sql(`select checked_at > '${lost.checkedAt}' from tenants where id = '${stack.id}'`)) ===
      't'
        ? true
        : undefined,
    { what: 'another look', deadlineMs: 60_000 },
  );
  expect(await watched.operations()).toBe('');
  expect((await world.platform.objects()).volumes).not.toContain(data);
  expect(await world.platform.sql(`select count(*) from audit_entries where action = 'stack.data_missing'`)).toBe('1');
}, 240_000);
