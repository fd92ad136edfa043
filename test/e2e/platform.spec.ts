import { execFile } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { waitFor } from '#libs/async';
import type { Accepted, Market } from '#libs/contracts';
import { browserTrusting, type TestBrowser } from '../support/browser.js';
import { cutPower, docker, killEngine, startEngine } from '../support/engine.js';
import { signUpToFirstFill } from '../support/journey.js';
import { TestPlatform } from '../support/platform.js';
import type { PortalClient } from '../support/portal-client.js';

let platform: TestPlatform;
let operator: PortalClient;

beforeAll(async () => {
  platform = await TestPlatform.start();
  operator = await platform.operator();
}, 300_000);
afterAll(async () => {
  await platform?.stop();
}, 180_000);

const PASSWORD = 'correct horse battery staple';
let person = 0;
async function signedUp(): Promise<PortalClient> {
  const client = platform.client();
  person += 1;
  await client.signUp(operator, `person${person}`, PASSWORD);
  return client;
}

describe('a stack', () => {
  let owner: PortalClient;
  let slug = '';

  it('is made for a person who signed up, and its dashboard answers its owner over TLS', async () => {
    owner = await signedUp();
    const { stack, operation } = await owner.createStack();
    slug = stack.slug;
    await owner.operationEnd(operation.id);
    await owner.signOn(slug);
    const ready = await owner.ask<{ ready: boolean; tenant: string }>(owner.dashboardHost(slug), '/ready');
    expect(ready).toMatchObject({ status: 200, body: { ready: true, tenant: stack.id } });
    const page = await owner.ask(owner.dashboardHost(slug), '/');
    expect(page.status).toBe(200);
    expect(page.text).toContain('<script');
    expect((await owner.stack(slug)).status).toBe('running');
  }, 120_000);

  it('lets nobody else in: a stranger, another customer, a forged identity', async () => {
    const host = owner.dashboardHost(slug);
    const anonymous = platform.client();
    expect((await anonymous.ask(host, '/')).status).toBe(302);
    expect((await anonymous.ask(host, '/api/v1/me', { headers: { accept: 'application/json' } })).status).toBe(401);
    expect(
      (
        await anonymous.ask(host, '/api/v1/me', {
          headers: { accept: 'application/json', 'x-aviary-identity': 'x.y.z', 'x-aviary-user': 'person1' },
        })
      ).status,
    ).toBe(401);
    const other = await signedUp();
    await expect(other.signOn(slug)).rejects.toThrow('404');
    await expect(other.stack(slug)).rejects.toThrow('404');
    const stolen = platform.client();
    stolen.jar.set(host, new Map([...(owner.jar.get(host) ?? [])].map(([name, value]) => [name, `${value}x`])));
    expect((await stolen.ask(host, '/ready')).status).toBe(302);
  }, 60_000);

  it('runs hardened, with the limits of its plan, and with no secret in what inspect shows', async () => {
    const containers = (await platform.objects()).containers.filter((name) => name.includes(slug));
    expect(containers).toHaveLength(3);
    const inspected = JSON.parse(await docker('inspect', ...containers)) as {
      Name: string;
      Config: { User: string; Env: string[] };
      HostConfig: {
        CapDrop: string[];
        SecurityOpt: string[];
        ReadonlyRootfs: boolean;
        Memory: number;
        MemorySwap: number;
        PidsLimit: number;
        NanoCpus: number;
        RestartPolicy: { Name: string };
        LogConfig: { Type: string };
        PortBindings: object;
      };
      Mounts: { Type: string; Source: string }[];
    }[];
    for (const { Config, HostConfig, Mounts } of inspected) {
      expect(Config.User).not.toMatch(/^(0|root|)(:|$)/);
      expect(HostConfig).toMatchObject({
        CapDrop: ['ALL'],
        ReadonlyRootfs: true,
        RestartPolicy: { Name: 'unless-stopped' },
        LogConfig: { Type: 'local' },
      });
      expect(HostConfig.SecurityOpt).toContain('no-new-privileges:true');
      expect(HostConfig.Memory).toBeGreaterThan(0);
      expect(HostConfig.MemorySwap).toBe(HostConfig.Memory);
      expect(HostConfig.PidsLimit).toBeGreaterThan(0);
      expect(HostConfig.NanoCpus).toBeGreaterThan(0);
      expect(Object.keys(HostConfig.PortBindings ?? {})).toEqual([]);
      expect(Mounts.every(({ Type }) => Type === 'volume')).toBe(true);
    }
    const password = await docker(
      'exec',
      containers.find((name) => name.endsWith('-runtime')) ?? '',
      'cat',
      '/run/aviary/database-password',
    );
    expect(password.length).toBeGreaterThan(20);
    expect(JSON.stringify(inspected)).not.toContain(password);
  }, 60_000);

  it('stops, starts and restarts by the command line, which tells the truth', async () => {
    const stopped = await platform.cli('tenant', 'stop', slug);
    expect(stopped).toMatchObject({ code: 0, document: { ok: true, data: { state: 'done', kind: 'stop' } } });
    expect((await owner.ask(owner.dashboardHost(slug), '/ready')).status).not.toBe(200);
    expect((await platform.cli<{ status: string }>('tenant', 'show', slug)).document.data.status).toBe('stopped');
    expect((await platform.cli('tenant', 'start', slug)).code).toBe(0);
    expect((await platform.cli('tenant', 'restart', slug)).code).toBe(0);
    await waitFor(
      async () => ((await owner.ask(owner.dashboardHost(slug), '/ready')).status === 200 ? true : undefined),
      { what: 'the dashboard after the restart', deadlineMs: 10_000 },
    );
    expect(await platform.cli('tenant', 'show', 'uaaaaaa')).toMatchObject({
      code: 3,
      document: { ok: false, error: { code: 'NOT_FOUND' } },
    });
    expect((await platform.run('aviary', 'tenant', 'destroy', slug)).code).toBe(2);
  }, 180_000);

  it('is destroyed without a trace', async () => {
    const { id } = await owner.stack(slug);
    await owner.destroy(slug);
    const { containers, networks, volumes } = await platform.objects();
    expect([...containers, ...networks, ...volumes].filter((name) => name.includes(slug))).toEqual([]);
    expect((await readdir(join(platform.facts.dataDir, 'routes'))).filter((name) => name.includes(slug))).toEqual([]);
    expect(await platform.sql(`select count(*) from tenants where id = '${id}'`)).toBe('0');
    expect(await platform.sql(`select count(*) from tenant_secrets where tenant_id = '${id}'`)).toBe('0');
    await expect(owner.stack(slug)).rejects.toThrow('404');
  }, 120_000);
});

it('a second scripts/up changes nothing and prints no password', async () => {
  const before = await docker('ps', '-a', '--no-trunc', '--format', '{{.ID}} {{.Names}}');
  const env = await readFile(join(platform.facts.root, '.env'), 'utf8');
  const again = await platform.run('up');
  expect(again.code).toBe(0);
  expect(again.stdout).toContain('Aviary runs at');
  expect(again.stdout).not.toContain('Password');
  expect(await docker('ps', '-a', '--no-trunc', '--format', '{{.ID}} {{.Names}}')).toBe(before);
  expect(await readFile(join(platform.facts.root, '.env'), 'utf8')).toBe(env);
}, 120_000);

it('the unit that loads the firewall before the engine is one systemd accepts', async () => {
  const folder = join(platform.facts.dataDir, 'firewall');
  const [unit] = (await readdir(folder)).filter((name) => name.endsWith('.service'));
  expect(unit).toBeDefined();
  const { stdout, stderr } = await promisify(execFile)('systemd-analyze', ['verify', join(folder, unit ?? '')]);
  expect(`${stdout}${stderr}`).toBe('');
});

describe('a person in a browser', () => {
  let chromium: TestBrowser;
  beforeAll(async () => {
    chromium = await browserTrusting(platform.place.ca);
  });
  afterAll(() => chromium.close());

  it('goes from nothing to the first fill by clicking', async () => {
    const pictures = process.env['AVIARY_TEST_PICTURES'];
    const { slug, fills, dashboard } = await signUpToFirstFill({
      browser: chromium.browser,
      place: platform.place,
      operator,
      name: 'clicker',
      password: PASSWORD,
      ...(pictures === undefined ? {} : { pictures }),
    });
    expect(fills).toBeGreaterThan(1);
    expect(new URL(dashboard.url()).hostname).toBe(`${slug}.${platform.place.tenantDomain}`);
  }, 240_000);
});

async function runningStack(): Promise<{ owner: PortalClient; slug: string }> {
  const owner = await signedUp();
  const { stack, operation } = await owner.createStack();
  await owner.operationEnd(operation.id);
  await owner.signOn(stack.slug);
  return { owner, slug: stack.slug };
}

const answers = async (owner: PortalClient, slug: string): Promise<true | undefined> =>
  (await owner.ask(owner.dashboardHost(slug), '/ready')).status === 200 ? true : undefined;

const OPEN_LATER = { deadlineMs: 60_000 };

describe('faults', () => {
  it('one idempotency key makes one stack, however often it is sent at once', async () => {
    const owner = await signedUp();
    const key = { 'idempotency-key': randomUUID() };
    const made = await Promise.allSettled(
      Array.from({ length: 4 }, () => owner.api<Accepted>('POST', '/stacks', {}, key)),
    );
    const slugs = new Set(made.flatMap((result) => (result.status === 'fulfilled' ? [result.value.stack.slug] : [])));
    expect(slugs.size).toBe(1);
    const { items } = await owner.api<{ items: unknown[] }>('GET', '/stacks');
    expect(items).toHaveLength(1);
  }, 60_000);

  it('a broken and a foreign file in the route folder are moved away, and nobody else notices', async () => {
    const { owner, slug } = await runningStack();
    const routes = join(platform.facts.dataDir, 'routes');
    await writeFile(join(routes, 'broken.yml'), 'http: { routers: [');
    await writeFile(
      join(routes, 'thief.yml'),
      JSON.stringify({
        http: {
          routers: {
            thief: {
              rule: `Host(\`${owner.dashboardHost(slug)}\`)`,
              priority: 9_999,
              service: 'noop@internal',
              tls: {},
            },
          },
        },
      }),
    );
    await waitFor(
      async () =>
        (await readdir(routes)).some((name) => ['broken.yml', 'thief.yml'].includes(name)) ? undefined : true,
      {
        what: 'both files being moved away',
        ...OPEN_LATER,
      },
    );
    const moved = await readdir(join(platform.facts.dataDir, 'quarantine'));
    expect(moved.filter((name) => /broken|thief/.test(name))).toHaveLength(2);
    await waitFor(() => answers(owner, slug), { what: 'the stack being served as before', ...OPEN_LATER });
    await docker('restart', platform.container('traefik'));
    await waitFor(() => answers(owner, slug), { what: 'the stack after the proxy restarted', ...OPEN_LATER });
  }, 180_000);

  it('the portal’s database restarting while a stack is made only delays it', async () => {
    const owner = await signedUp();
    const { stack, operation } = await owner.createStack();
    await docker('restart', '-t', '5', platform.container('postgres'));
    await waitFor(async () => (await owner.operationEnd(operation.id), true as const), {
      what: 'the end of the operation',
      deadlineMs: 120_000,
    });
    await owner.signOn(stack.slug);
    expect(await answers(owner, stack.slug)).toBe(true);
  }, 240_000);

  it.each([120, 480, 900])(
    'kill -9 of the agent %d ms into a provisioning: another life ends it, nothing doubled',
    async (ms) => {
      const owner = await signedUp();
      const { stack, operation } = await owner.createStack();
      await pause(ms);
      await docker('kill', '--signal', 'KILL', platform.container('agent'));
      await docker('start', platform.container('agent'));
      await owner.operationEnd(operation.id);
      const { containers, networks, volumes } = await platform.objects();
      const mine = [containers, networks, volumes].map(
        (names) => names.filter((name) => name.includes(stack.slug)).length,
      );
      expect(mine).toEqual([3, 1, 5]);
      await owner.destroy(stack.slug);
      const left = await platform.objects();
      expect(
        Object.values(left)
          .flat()
          .filter((name) => name.includes(stack.slug)),
      ).toEqual([]);
    },
    180_000,
  );

  it('a stack whose data volume vanished is not begun anew on an empty one, and says so', async () => {
    const { slug } = await runningStack();
    expect((await platform.cli('tenant', 'stop', slug)).code).toBe(0);
    const { containers, volumes } = await platform.objects();
    const named = (names: string[], part: string): string =>
      names.find((name) => name.includes(`${slug}-${part}`)) ?? '';
    await docker('rm', named(containers, 'postgres'));
    await docker('volume', 'rm', named(volumes, 'data'));
    const started = await platform.cli('tenant', 'start', slug);
    expect(started).toMatchObject({ code: 1, document: { ok: false, error: { code: 'DATA_MISSING' } } });
    expect(named((await platform.objects()).volumes, 'data')).toBe('');
    expect((await platform.cli<{ status: string }>('tenant', 'show', slug)).document.data.status).toBe('attention');
    expect((await platform.cli('tenant', 'destroy', slug, `--confirm=${slug}`)).code).toBe(0);
  }, 180_000);

  it('objects of another platform on the same engine are never touched', async () => {
    const foreign = ['--label', `aviary.platform=${randomUUID()}`, '--label', `aviary.tenant=${randomUUID()}`];
    await docker('volume', 'create', ...foreign, 'somebody-elses');
    const { owner, slug } = await runningStack();
    await owner.destroy(slug);
    expect(await docker('volume', 'ls', '-q', '--filter', 'name=somebody-elses')).toBe('somebody-elses');
    await docker('volume', 'rm', 'somebody-elses');
  }, 120_000);
});

describe('the data plane', () => {
  it('goes on with api, worker, agent and the portal’s database stopped, through an engine restart and a power cut', async () => {
    const { owner, slug } = await runningStack();
    const host = owner.dashboardHost(slug);
    const market = (await owner.ask<Market>(host, '/api/v1/market')).body.pairs[0];
    const price = Number(market?.price);
    const made = await owner.ask<{ id: string }>(host, '/api/v1/bots', {
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
    const away = (['api', 'worker', 'agent', 'postgres'] as const).map((service) => platform.container(service));
    await docker('stop', '-t', '5', ...away);

    const ticks = async (): Promise<string> =>
      (await owner.ask<Market>(host, '/api/v1/market')).body.pairs[0]?.priceAt ?? '';
    const running = async (): Promise<void> => {
      const bot = await waitFor(
        async () => {
          const answer = await owner.ask<{ status: string }>(host, `/api/v1/bots/${made.body.id}`);
          return answer.status === 200 && ['running', 'waiting'].includes(answer.body.status) ? answer.body : undefined;
        },
        { what: 'the bot running', ...OPEN_LATER },
      );
      expect(['running', 'waiting']).toContain(bot.status);
      const before = await ticks();
      await waitFor(async () => ((await ticks()) !== before ? true : undefined), {
        what: 'prices moving on',
        ...OPEN_LATER,
      });
    };
    await running();
    await killEngine();
    await startEngine();
    await running();

    await cutPower();
    // What the unit does before the engine starts at boot.
    await promisify(execFile)('sh', [join(platform.facts.dataDir, 'firewall/load.sh')]);
    await startEngine();
    const rules = (await promisify(execFile)('iptables', ['-S', 'DOCKER-USER'])).stdout.split('\n');
    expect(rules[1]).toContain(`-j AVIARY-FWD-${platform.facts.prefix}`);
    expect((await docker('ps', '--format', '{{.Names}}')).split('\n')).not.toContain(platform.container('api'));
    await running();

    await docker('start', ...away);
    await waitFor(
      async () => ((await owner.ask(platform.place.portalDomain, '/readyz')).status === 200 ? true : undefined),
      { what: 'the portal being back', deadlineMs: 120_000 },
    );
    expect((await owner.stack(slug)).slug).toBe(slug);
  }, 400_000);
});

describe('the operator’s tools', () => {
  interface Check {
    name: string;
    state: string;
    todo?: string;
  }

  it('doctor finds nothing wrong with a platform that is well, and says what is with one that is not', async () => {
    const well = await platform.cli<{ checks: Check[] }>('doctor');
    expect(well.document.data.checks.filter(({ state }) => state === 'bad')).toEqual([]);
    expect(well.document.data.checks.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['engine', 'memory', 'clock', 'networks', 'firewall', 'certificate tenants', 'portal']),
    );
    await docker('stop', '-t', '5', platform.container('postgres'));
    const ill = await platform.cli<{ checks: Check[] }>('doctor');
    expect(ill.code).toBe(8);
    const bad = ill.document.data.checks.filter(({ state }) => state === 'bad');
    expect(bad.length).toBeGreaterThan(0);
    expect(bad.every(({ todo }) => (todo ?? '').length > 10)).toBe(true);
    await docker('start', platform.container('postgres'));
  }, 120_000);

  it('says what to do when the engine itself is down', async () => {
    await killEngine();
    const away = await platform.run('aviary', 'doctor');
    await startEngine();
    expect(away.code).toBe(8);
    expect(away.stderr).toContain('The Docker Engine does not answer');
  }, 120_000);

  it('down --purge removes everything of this platform and nothing else', async () => {
    await docker('volume', 'create', 'somebody-elses');
    const ended = await platform.run('down', '--purge', '--yes');
    expect({ code: ended.code, stderr: ended.stderr }).toMatchObject({ code: 0 });
    expect(await platform.objects()).toEqual({ containers: [], networks: [], volumes: [] });
    expect(await docker('volume', 'ls', '-q', '--filter', 'name=somebody-elses')).toBe('somebody-elses');
    const rules = (await promisify(execFile)('iptables', ['-S'])).stdout;
    expect(rules).not.toContain(`AVIARY-FWD-${platform.facts.prefix}`);
    await docker('volume', 'rm', 'somebody-elses');
  }, 180_000);
});
