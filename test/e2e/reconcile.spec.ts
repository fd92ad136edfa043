import { execFile } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { waitFor } from '#libs/async';
import type { Alarm, AlarmCode, AlarmList } from '#libs/contracts';
import { SERVED_FILE, type DynamicFile } from '#libs/edge';
import { docker, killEngine, killProcess, pidOf, startEngine, testImage } from '../support/engine.js';
import { PlatformWorld, SOON, type RunningStack } from './platform/world.js';

const SERVICES = ['postgres', 'redis', 'runtime'] as const;
type Service = (typeof SERVICES)[number];

let world: PlatformWorld;
let stack: RunningStack;
let before = '';

const container = (service: Service): string => world.platform.service(stack.slug, service);
const network = (): string => `aviary-${world.platform.facts.prefix}-${stack.slug}`;
const route = (): string => join(world.platform.facts.dataDir, 'routes', `${stack.slug}.yml`);

/** What of a stack's containers must come back, as one text. */
async function shape(): Promise<string> {
  const inspected = JSON.parse(await docker('inspect', ...SERVICES.map(container))) as {
    Name: string;
    Image: string;
    State: { Status: string };
    HostConfig: { Memory: number; NanoCpus: number; PidsLimit: number; RestartPolicy: { Name: string } };
    NetworkSettings: { Networks: Record<string, { IPAddress: string }> };
  }[];
  return JSON.stringify(
    inspected.map(({ Name, Image, State, HostConfig: limits, NetworkSettings }) => [
      Name,
      Image,
      State.Status,
      limits.Memory,
      limits.NanoCpus,
      limits.PidsLimit,
      limits.RestartPolicy.Name,
      Object.entries(NetworkSettings.Networks)
        .map(([name, { IPAddress }]) => `${name} ${IPAddress}`)
        .toSorted((a, b) => a.localeCompare(b)),
    ]),
  );
}

/** What was done to the stack; the night's backup, which goes on beside it, is none of it. */
const operations = (where = ''): Promise<string> =>
  world.platform.sql(
    `select kind, state, coalesce(error->>'message', '') from operations
      where tenant_id = '${stack.id}' and kind not in ('provision', 'backup') ${where} order by created_at`,
  );

/** The stack is as it was, answers its owner, and nothing is at work on it. */
async function back(): Promise<void> {
  await waitFor(
    async () => {
      const seen = await shape();
      if (seen !== before) {
        throw new Error(`still ${seen}; ${await operations()}`);
      }
      const open = await operations(`and state in ('queued', 'running')`);
      return open === '' && (await world.answers(stack)) ? true : undefined;
    },
    { what: `${stack.slug} as it was`, deadlineMs: 90_000 },
  );
}

async function repaired(damage: () => Promise<unknown>): Promise<void> {
  await world.platform.sql(`delete from operations where tenant_id = '${stack.id}' and state = 'done'`);
  await damage();
  await back();
  expect(await operations()).toMatch(/^(repair\|done\|\n?)+$/);
}

beforeAll(async () => {
  world = await PlatformWorld.open();
  stack = await world.runningStack();
  before = await shape();
}, 300_000);
afterAll(async () => {
  await world?.platform.stop();
}, 180_000);

describe('FM-13 a stack on a real engine comes back by itself', () => {
  it('a container killed, and one stopped', async () => {
    await repaired(() => docker('kill', container('runtime')));
    await repaired(() => docker('stop', '-t', '5', container('redis')));
  }, 240_000);

  it('a container removed, and one paused', async () => {
    await repaired(() => docker('rm', '-f', container('postgres')));
    await repaired(() => docker('pause', container('runtime')));
  }, 240_000);

  it('a network disconnected, one attached that is not its own, and its network removed', async () => {
    await repaired(() => docker('network', 'disconnect', network(), container('runtime')));
    await docker('network', 'create', '--internal', '--subnet', '198.18.78.0/28', 'somebody-elses');
    await repaired(() => docker('network', 'connect', 'somebody-elses', container('redis')));
    await docker('network', 'rm', 'somebody-elses');
    await repaired(async () => {
      await Promise.all(
        SERVICES.map((service) => docker('network', 'disconnect', '-f', network(), container(service))),
      );
      await docker('network', 'rm', network());
    });
  }, 300_000);

  it('a container whose network was made anew while it was stopped', async () => {
    await repaired(() =>
      world.withoutAgent(async () => {
        await docker('stop', '-t', '5', ...SERVICES.map(container));
        await docker('network', 'rm', network());
      }),
    );
  }, 240_000);

  it('limits and restart policy changed by hand', async () => {
    await repaired(() => docker('update', '--memory', '100m', '--memory-swap', '100m', container('redis')));
    await repaired(() => docker('update', '--restart', 'no', container('runtime')));
  }, 240_000);

  it('the tag of its image moved: what is made anew is made of the image it was made of', async () => {
    const tag = testImage('redis');
    const id = await docker('image', 'inspect', '-f', '{{.Id}}', tag);
    await docker('tag', testImage('postgres'), tag);
    try {
      await repaired(() => docker('rm', '-f', container('redis')));
    } finally {
      await docker('tag', id, tag);
    }
  }, 240_000);

  it('a secret file edited, and one deleted, noticed when a container starts', async () => {
    const inSecrets = (service: Service, script: string): Promise<string> => {
      const volume = `${container(service)}-secrets:/s`;
      const options = ['--rm', '--user', '0:0', '--entrypoint', 'sh', '-v', volume, testImage('postgres'), '-c'];
      return docker('run', ...options, script);
    };
    await repaired(async () => {
      await inSecrets('runtime', 'echo "{}" > /s/spec.json');
      await docker('restart', '-t', '5', container('runtime'));
    });
    await repaired(async () => {
      await inSecrets('runtime', 'rm /s/database-password');
      await docker('restart', '-t', '5', container('runtime'));
    });
  }, 300_000);

  it('its route file edited and deleted, and what the proxy reads', async () => {
    const served = join(world.platform.facts.dataDir, 'routes', SERVED_FILE);
    const paths = [route(), served];
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
      await writeFile(route(), '{}');
      await rm(served);
    });
    await mended(async () => {
      await rm(route());
      await writeFile(served, 'http: [');
    });
    expect(await world.answers(stack)).toBe(true);
    // One that reads and leaves the stack out takes it away from its owner, until it is whole again.
    const { http, ...rest } = JSON.parse(await readFile(served, 'utf8')) as DynamicFile;
    const routers = Object.entries(http.routers).filter(([name]) => !name.startsWith(stack.slug));
    const without = JSON.stringify({ ...rest, http: { ...http, routers: Object.fromEntries(routers) } });
    await mended(async () => {
      await waitFor(
        async () => {
          // It is whole again within seconds, which may be before the proxy has read it or anybody has asked.
          await writeFile(served, without);
          return (await world.answers(stack)) ? undefined : true;
        },
        { what: 'the route’s end', intervalMs: 1_000, maxIntervalMs: 1_000, ...SOON },
      );
      await writeFile(served, without);
    });
    await back();
    // A repair that came between went well: it looks at the proxy's file before it asks the proxy.
    expect(await operations()).not.toContain('failed');
  }, 300_000);

  it('every container gone but the volumes, as on a host that was rebuilt', async () => {
    await world.platform.stackSql(stack.slug, 'create table kept as select 42 as n');
    await repaired(() =>
      world.withoutAgent(async () => {
        await docker('rm', '-f', ...SERVICES.map(container));
        await docker('network', 'rm', network());
        await rm(route());
      }),
    );
    expect(await world.platform.stackSql(stack.slug, 'select n from kept')).toBe('42');
  }, 240_000);

  it('the engine restarted, a process of the stack killed meanwhile', async () => {
    await killProcess(container('runtime'), killEngine);
    await startEngine();
    await back();
    // Events are told again.
    await repaired(() => docker('kill', container('runtime')));
  }, 300_000);

  it('the agent away while it happened', async () => {
    await repaired(() =>
      world.withoutAgent(async () => {
        await docker('kill', container('runtime'));
        await docker('rm', '-f', container('redis'));
        await docker('network', 'disconnect', '-f', network(), container('postgres'));
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

/** As the api tells them, which needs no engine to be asked. */
async function told(code: AlarmCode): Promise<Alarm | undefined> {
  const { items } = await world.operator.api<AlarmList>('GET', '/operator/alarms');
  return items.find((alarm) => alarm.code === code);
}

/** As an operator on the host sees them. */
async function listed(code: AlarmCode): Promise<Alarm | undefined> {
  const { document } = await world.platform.cli<AlarmList>('alarm', 'list');
  return document.data.items.find((alarm) => alarm.code === code);
}

/** How many mails say these words: one may tell of other alarms beside it. */
const mailsThatSay = (words: string): Promise<string> =>
  world.platform.sql(`select count(*) from outbox_mails where text like '%${words}%'`);

describe('what nobody is left to repair is told', () => {
  const over = (code: AlarmCode): Promise<true> =>
    waitFor(async () => ((await listed(code))?.endedAt ? true : undefined), {
      what: `the end of ${code}`,
      deadlineMs: 120_000,
      intervalMs: 2_000,
    });

  it('an engine that is away: a critical alarm and a mail, over once it answers', async () => {
    await killEngine();
    try {
      await waitFor(async () => ((await told('ENGINE_AWAY'))?.mailedAt ? true : undefined), {
        what: 'the alarm and its mail',
        deadlineMs: 300_000,
        intervalMs: 2_000,
      });
    } finally {
      await startEngine();
    }
    const alarm = await listed('ENGINE_AWAY');
    expect(alarm).toMatchObject({ key: 'engine/local/away', severity: 'critical', acknowledgedAt: null });
    expect(await mailsThatSay('The container engine of the host local does not answer')).toBe('1');
    await over('ENGINE_AWAY');
    await back();
  }, 600_000);

  it('an agent that is gone: a critical alarm and a mail, over once it is back', async () => {
    await world.withoutAgent(async () => {
      const alarm = await waitFor(
        async () => {
          const seen = await listed('AGENT_SILENT');
          return seen?.mailedAt ? seen : undefined;
        },
        { what: 'the alarm and its mail', deadlineMs: 420_000, intervalMs: 2_000 },
      );
      expect(alarm).toMatchObject({ key: 'agent/local/silent', severity: 'critical', endedAt: null });
      expect((await world.platform.cli('alarm', 'list')).code).toBe(8);
    });
    expect(await mailsThatSay('The agent of the host local gave its last sign of life')).toBe('1');
    await over('AGENT_SILENT');
    await back();
  }, 600_000);
});

it('FM-25 a process that dies again and again stops the stack, which says why and waits for a person', async () => {
  await back();
  for (let death = 0; death < 5; death += 1) {
    const pid = await killProcess(container('runtime'));
    await waitFor(
      async () => {
        const now = await pidOf(container('runtime'));
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
    ...SERVICES.map(container),
  );
  expect(states.split('\n')).toEqual(['exited no', 'exited no', 'exited no']);
  expect(await stack.owner.order(stack.slug, 'start')).toMatchObject({ state: 'done', error: null });
  await back();
}, 240_000);

it('a volume that vanished is not made anew: the stack says so, and nothing is tried in a circle', async () => {
  await world.platform.sql(`delete from operations where tenant_id = '${stack.id}' and state = 'done'`);
  const data = (await world.platform.objects()).volumes.find((name) => name.includes(`${stack.slug}-data`)) ?? '';
  await world.withoutAgent(async () => {
    await docker('rm', '-f', container('postgres'));
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
  await docker('stop', '-t', '5', container('redis'));
  await waitFor(
    async () =>
      (await world.platform.sql(`select checked_at > '${lost.checkedAt}' from tenants where id = '${stack.id}'`)) ===
      't'
        ? true
        : undefined,
    { what: 'another look', deadlineMs: 60_000 },
  );
  expect(await operations()).toBe('');
  expect((await world.platform.objects()).volumes).not.toContain(data);
  expect(await world.platform.sql(`select count(*) from audit_entries where action = 'stack.data_missing'`)).toBe('1');
}, 240_000);
