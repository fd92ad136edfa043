import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { waitFor } from '#libs/async';
import type { HostUsage, StackLog, StackUsage } from '#libs/contracts';
import { docker, engineEndpoint, pidOf } from '../../support/engine.js';
import type { PlatformWorld, RunningStack } from './world.js';

const MIB = 1024 ** 2;
/** A pass a minute, and room for one on a loaded machine. */
const MEASURED = { deadlineMs: 100_000 };

/** What an operator and an owner see of what runs, and what nobody may see anywhere. */
export function watching(world: () => PlatformWorld): void {
  let stack: RunningStack;
  beforeAll(async () => {
    stack = await world().runningStack();
  }, 120_000);
  afterAll(() => world().clear(), 120_000);

  /** From inside the api's container, as a scraper on the portal's network would read it. */
  const metrics = (address: string): Promise<string> =>
    docker(
      'exec',
      world().platform.container('api'),
      'node',
      '-e',
      `fetch('http://${address}').then(async (r) => process.stdout.write(r.status + '\\n' + (await r.text())))`,
    );

  const addressOf = async (service: 'worker' | 'gate'): Promise<string> =>
    docker(
      'inspect',
      '--format',
      '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}',
      world().platform.container(service),
    );

  it('measures what a stack uses, for its owner, the operator and the command line', async () => {
    const usage = await waitFor(
      async () => {
        const seen = await stack.owner.api<StackUsage>('GET', `/stacks/${stack.slug}/usage?range=hour`);
        return seen.latest === null ? undefined : seen;
      },
      { what: 'a first measurement of the stack', ...MEASURED },
    );
    expect(usage.services.map(({ service }) => service)).toEqual(['postgres', 'redis', 'runtime']);
    for (const { memoryBytes, memoryLimitBytes, oomKills, pids } of usage.services) {
      expect(memoryBytes).toBeGreaterThan(MIB);
      expect(memoryBytes).toBeLessThan(memoryLimitBytes ?? 0);
      expect([oomKills, pids > 0]).toEqual([0, true]);
    }
    expect(usage.services.reduce((sum, { memoryLimitBytes }) => sum + (memoryLimitBytes ?? 0), 0)).toBeLessThanOrEqual(
      usage.limits.memoryBytes,
    );
    const { document } = await world().platform.cli<StackUsage>('tenant', 'usage', stack.slug, '--range', 'hour');
    expect(document.data.points.length).toBeGreaterThan(0);
    expect(document.data.services).toHaveLength(3);
    const text = await world().platform.run('aviary', 'tenant', 'usage', stack.slug);
    expect(text.stdout).toMatch(/^memory {3}[\d.]+ MiB of [\d.]+ MiB/m);
    const hosts = await world().operator.api<HostUsage>('GET', '/operator/hosts/usage?range=hour');
    const [host] = hosts.items;
    expect(host?.latest?.memoryBytes).toBeGreaterThan(usage.latest?.memoryBytes ?? Infinity);
    expect(host?.latest?.diskBytes).toBeGreaterThan(0);
    expect(host?.limits?.cpus).toBeGreaterThan(0);
    await expect(stack.owner.api('GET', '/operator/hosts/usage')).rejects.toThrow('403');
    await expect((await world().signedUp()).api('GET', `/stacks/${stack.slug}/usage`)).rejects.toThrow('404');
  }, 150_000);

  it('reads no environment of a stack’s processes, nor a stack’s user the portal’s: each only its own', async () => {
    const { platform } = world();
    const [agent, runtime] = [platform.container('agent'), platform.service(stack.slug, 'runtime')];
    const [ofAgent, ofRuntime] = await Promise.all([pidOf(agent), pidOf(runtime)]);
    const byAgent = (pid: number): Promise<string> =>
      docker('exec', agent, 'head', '-c', '1', `/host/proc/${pid}/environ`);
    expect(await byAgent(ofAgent)).toHaveLength(1);
    await expect(byAgent(ofRuntime)).rejects.toThrow('Permission denied');
    const uid = (await docker('inspect', '-f', '{{.Config.User}}', runtime)).split(':')[0] ?? '';
    const asStack = async (pid: number): Promise<string> => {
      const somebody = ['--reuid', uid, '--regid', uid, '--clear-groups', 'head', '-c', '1', `/proc/${pid}/environ`];
      return (await promisify(execFile)('setpriv', somebody)).stdout;
    };
    expect(await asStack(ofRuntime)).toHaveLength(1);
    await expect(asStack(ofAgent)).rejects.toThrow('Permission denied');
  });

  it('tells a scraper of agent, api, worker and gate on the portal’s own network, and nobody on the public address', async () => {
    const agent = await metrics('127.0.0.1:8081/metrics/agent');
    expect(agent).toMatch(/^200\n/);
    expect(agent).toMatch(new RegExp(`^aviary_stack_memory_bytes\\{stack="${stack.slug}"\\} \\d+$`, 'm'));
    expect(agent).toMatch(/^aviary_operation_duration_seconds_count\{kind="provision",state="done"\} [1-9]/m);
    expect(agent).toMatch(/^aviary_route_live_seconds_count [1-9]/m);
    expect(agent).not.toMatch(/^aviary_task_failing\{.*\} 1$/m);
    expect(await metrics('127.0.0.1:8081/metrics')).toMatch(/^aviary_http_request_duration_seconds_count\{/m);
    expect(await metrics(`${await addressOf('worker')}:8083/metrics`)).toMatch(/^aviary_jobs\{queue="/m);
    expect(await metrics(`${await addressOf('gate')}:8082/metrics`)).toMatch(
      /^aviary_gate_revocations_age_seconds \d/m,
    );
    // The fifth place to scrape is the proxy itself.
    expect(await (await fetch('http://127.0.0.1:19080/metrics')).text()).toMatch(/^traefik_/m);
    const outside = world().platform.client();
    for (const path of ['/metrics', '/metrics/agent']) {
      expect((await outside.ask(outside.place.portalDomain, path)).text).not.toContain('aviary_');
      expect((await outside.ask(stack.owner.dashboardHost(stack.slug), path)).text).not.toContain('aviary_');
    }
  }, 60_000);

  it('shows the log of each service to owner, operator and command line, follows it, and hides it from others', async () => {
    for (const [service, word] of [
      ['runtime', '"level"'],
      ['postgres', 'database system is ready'],
      ['redis', 'Ready to accept connections'],
    ] as const) {
      const log = await stack.owner.api<StackLog>('GET', `/stacks/${stack.slug}/logs?service=${service}&tail=500`);
      expect({ service, found: log.items.some(({ text }) => text.includes(word)) }).toEqual({ service, found: true });
      expect(log.items.every(({ at }, index) => index === 0 || at >= (log.items[index - 1]?.at ?? ''))).toBe(true);
    }
    const found = await world().operator.api<StackLog>(
      'GET',
      `/stacks/${stack.slug}/logs?service=postgres&q=READY%20TO`,
    );
    expect(found.items.length).toBeGreaterThan(0);
    expect(found.items.every(({ text }) => /ready to/i.test(text))).toBe(true);
    await expect((await world().signedUp()).api('GET', `/stacks/${stack.slug}/logs`)).rejects.toThrow('404');
    await expect(stack.owner.api('GET', `/stacks/${stack.slug}/logs?service=nosuch`)).rejects.toThrow('404');

    const follower = spawn(
      join(world().platform.facts.root, 'scripts/aviary'),
      ['tenant', 'logs', stack.slug, '--service', 'postgres', '--follow', '--tail', '1', '--json', '--timeout', '60'],
      { env: { ...process.env, DOCKER_HOST: engineEndpoint() }, stdio: ['ignore', 'pipe', 'ignore'] },
    );
    let heard = '';
    follower.stdout.on('data', (chunk: Buffer) => (heard += chunk.toString()));
    try {
      await waitFor(() => heard !== '' || undefined, { what: 'the last line', deadlineMs: 20_000 });
      const mark = `marked ${Date.now()}`;
      await world().platform.stackSql(stack.slug, `do $$ begin raise log '${mark}'; end $$`);
      await waitFor(() => heard.includes(mark) || undefined, { what: 'the new line', deadlineMs: 10_000 });
    } finally {
      follower.kill('SIGINT');
      await once(follower, 'close');
    }
  }, 90_000);

  it('lets no secret of a stack out: not into a log, inspect, process, error, audit, metric or row', async () => {
    const { platform } = world();
    const runtime = platform.service(stack.slug, 'runtime');
    const read = (file: string): Promise<string> => docker('exec', runtime, 'cat', `/run/aviary/${file}`);
    const key = (await read('stack-key.pem')).split('\n').filter((line) => line !== '' && !line.startsWith('-----'));
    const secrets = [await read('database-password'), await read('redis-password'), ...key];
    expect(secrets.length).toBeGreaterThanOrEqual(3);
    expect(secrets.every((secret) => secret.length >= 32)).toBe(true);
    // A bad day first: a restart, refused requests, a database that is not there for a moment.
    await world().platform.cli('tenant', 'restart', stack.slug);
    await docker('kill', platform.service(stack.slug, 'postgres'));
    await docker('start', platform.service(stack.slug, 'postgres'));
    const errors = await Promise.all([
      stack.owner.ask(stack.owner.dashboardHost(stack.slug), '/ready'),
      stack.owner.ask(stack.owner.dashboardHost(stack.slug), '/api/v1/bots/nonsense'),
      stack.owner.ask(stack.owner.place.portalDomain, `/api/v1/stacks/${stack.slug}/nonsense`),
      stack.owner.ask(stack.owner.place.portalDomain, `/api/v1/stacks/${stack.slug}`),
    ]);

    const own = (await platform.objects()).containers;
    const everything: Record<string, string> = {
      inspect: await docker('inspect', ...own),
      volumes: await docker('volume', 'inspect', ...(await platform.objects()).volumes),
      processes: await processes(),
      rows: await docker('exec', platform.container('postgres'), 'pg_dump', '-U', 'aviary_owner', '-a', 'aviary'),
      errors: errors.map(({ text }) => text).join('\n'),
      routes: await routeFiles(join(platform.facts.dataDir, 'routes')),
      metrics: `${await metrics('127.0.0.1:8081/metrics/agent')}${await metrics('127.0.0.1:8081/metrics')}`,
    };
    for (const name of own) {
      everything[`log of ${name}`] = await log(name);
    }
    for (const [where, text] of Object.entries(everything)) {
      // What is searched must be there to be searched: each place knows the stack or its platform by name.
      const known = [stack.slug, stack.id, platform.facts.platformId, platform.facts.prefix, '"code"'];
      expect({ where, searched: where.startsWith('log of') || known.some((word) => text.includes(word)) }).toEqual({
        where,
        searched: true,
      });
      expect({ where, found: secrets.filter((secret) => text.includes(secret)).length }).toEqual({ where, found: 0 });
    }
    expect(everything[`log of ${platform.container('agent')}`]).toContain('"service":"agent"');
    expect(everything[`log of ${runtime}`]).toContain('"level"');
    // Not a process of the stack that could not be read: each has an environment, and it was searched.
    for (const service of ['postgres', 'redis', 'runtime'] as const) {
      const environment = await readFile(`/proc/${await pidOf(platform.service(stack.slug, service))}/environ`, 'utf8');
      expect(environment).toContain('PATH=');
      expect(everything['processes']).toContain(environment);
    }
    // And where one is let out, the same search finds it.
    const [letOut = ''] = secrets;
    await platform.stackSql(stack.slug, `do $$ begin raise log 'let out: ${letOut}'; end $$`);
    await waitFor(
      async () => ((await log(platform.service(stack.slug, 'postgres'))).includes(letOut) ? true : undefined),
      {
        what: 'the secret that was let out',
        deadlineMs: 10_000,
      },
    );
  }, 180_000);
}

async function log(name: string): Promise<string> {
  const { stdout, stderr } = await promisify(execFile)('docker', ['-H', engineEndpoint(), 'logs', name], {
    maxBuffer: 256 * MIB,
  });
  return stdout + stderr;
}

async function routeFiles(folder: string): Promise<string> {
  const names = await readdir(folder);
  return (await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')))).join('\n');
}

/** Environment and arguments of every process of the machine, those of containers too. */
async function processes(): Promise<string> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const texts = await Promise.all(
    pids.flatMap((pid) =>
      ['environ', 'cmdline'].map((file) =>
        readFile(join('/proc', pid, file), 'utf8').catch((error: NodeJS.ErrnoException) => {
          // Ended meanwhile; or, with EACCES to root itself, nobody's to read on this machine.
          if (['ENOENT', 'ESRCH', 'EACCES'].includes(error.code ?? '')) {
            return '';
          }
          throw error;
        }),
      ),
    ),
  );
  return texts.join('\n');
}
