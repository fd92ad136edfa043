import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { waitFor } from '#libs/async';
import type { HostUsage, StackLog, StackUsage } from '#libs/contracts';
import { docker, engineEndpoint, pidOf } from '../../support/engine.js';
import { canaries, MAILED, OUTBOX, places } from './canaries.js';
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

  /** Of all five that a scraper asks. */
  const everyMetric = async (): Promise<string> => {
    const [worker, gate] = await Promise.all([addressOf('worker'), addressOf('gate')]);
    const told = await Promise.all([
      metrics('127.0.0.1:8081/metrics/agent'),
      metrics('127.0.0.1:8081/metrics'),
      metrics(`${worker}:8083/metrics`),
      metrics(`${gate}:8082/metrics`),
      fetch('http://127.0.0.1:19080/metrics').then((response) => response.text()),
    ]);
    for (const [at, own] of [/aviary_stack_/, /aviary_http_/, /aviary_jobs/, /aviary_gate_/, /traefik_/].entries()) {
      expect(told[at]).toMatch(own);
    }
    return told.join('\n');
  };

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
    const measured = new RegExp(`^aviary_stack_memory_bytes\\{stack="${stack.slug}"\\} \\d+$`, 'm');
    const agent = await waitFor(
      async () => {
        const told = await metrics('127.0.0.1:8081/metrics/agent');
        return measured.test(told) ? told : undefined;
      },
      { what: 'the first figures of the stack', deadlineMs: 60_000 },
    );
    expect(agent).toMatch(/^200\n/);
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
  }, 90_000);

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

  it('lets no secret of platform, stack or person out: not into a log, inspect, process, error, audit, metric or row', async () => {
    const { platform } = world();
    const runtime = platform.service(stack.slug, 'runtime');
    expect((await platform.cli('backup', 'take', stack.slug)).code).toBe(0);
    const secrets = await canaries(world(), stack);
    expect(secrets.filter(({ text }) => text.length < 16)).toEqual([]);
    expect(secrets.map(({ what }) => what)).toEqual(
      expect.arrayContaining([
        'AVIARY_MASTER_KEY',
        `repository/${stack.id}`,
        ...['database-password', 'redis-password', 'stack-key'].map((name) => `tenant/${stack.id}/${name}`),
        expect.stringContaining(` of ${stack.owner.dashboardHost(stack.slug)}`),
        expect.stringContaining(` of ${stack.owner.place.portalDomain}`),
      ]),
    );
    // A bad day first: a restart, refused requests, a database that is not there for a moment.
    await platform.cli('tenant', 'restart', stack.slug);
    await docker('kill', platform.service(stack.slug, 'postgres'));
    await docker('start', platform.service(stack.slug, 'postgres'));
    const { owner } = stack;
    const bearer = (what: string) => ({
      headers: { authorization: `Bearer ${secrets.find((secret) => secret.what === what)?.text}` },
    });
    const errors = await Promise.all([
      owner.ask(owner.dashboardHost(stack.slug), '/ready'),
      owner.ask(owner.dashboardHost(stack.slug), '/api/v1/bots/nonsense'),
      owner.ask(owner.apiHost(stack.slug), '/api/v1/bots/nonsense', bearer('token for programs')),
      owner.ask(owner.place.portalDomain, `/api/v1/stacks/${stack.slug}/nonsense`, bearer('access token')),
      owner.ask(owner.place.portalDomain, `/api/v1/stacks/${stack.slug}`),
    ]);

    // What a database says can be asked of one that is up.
    await world().served(stack);
    const everything: Record<string, string> = {
      ...(await places(world(), stack, await everyMetric())),
      errors: errors.map(({ text }) => text).join('\n'),
    };
    for (const [where, text] of Object.entries(everything)) {
      // What is searched must be there to be searched: each place knows the stack or its platform by name.
      const known = [stack.slug, stack.id, platform.facts.platformId, platform.facts.prefix, '"code"', 'COPY public.'];
      expect({ where, searched: where.startsWith('log of') || known.some((word) => text.includes(word)) }).toEqual({
        where,
        searched: true,
      });
      const found = secrets.filter((secret) => text.includes(secret.text)).map(({ what }) => what);
      expect({ where, found }).toEqual({ where, found: where === OUTBOX ? [MAILED] : [] });
    }
    expect(everything['rows']).toContain('COPY public.audit_entries');
    expect(everything[`log of ${platform.container('agent')}`]).toContain('"service":"agent"');
    expect(everything[`log of ${runtime}`]).toContain('"level"');
    // Not a process of stack or portal that could not be read: each has an environment, and it was searched.
    const portal = (['api', 'api2', 'gate', 'gate2', 'worker', 'agent', 'postgres', 'redis', 'traefik'] as const).map(
      (service) => platform.container(service),
    );
    const own = (['postgres', 'redis', 'runtime'] as const).map((service) => platform.service(stack.slug, service));
    for (const container of [...portal, ...own]) {
      const environment = await readFile(`/proc/${await pidOf(container)}/environ`, 'utf8');
      expect(environment).toContain('PATH=');
      expect(everything['processes']).toContain(environment);
    }
    // And where they are let out, into a log, a row and an environment, the same search finds each of them.
    const letOut = secrets.map(({ text }) => text).join(' ');
    await platform.stackSql(stack.slug, `do $$ begin raise log '%', 'let out: ${letOut}'; end $$`);
    await platform.stackSql(stack.slug, `create table let_out as select '${letOut}' as secrets`);
    const process = spawn('sleep', ['120'], { env: { LET_OUT: letOut }, stdio: 'ignore' });
    try {
      await waitFor(
        async () => {
          const now = await places(world(), stack, '');
          const kinds = [`log of ${platform.service(stack.slug, 'postgres')}`, 'rows of the stack', 'processes'];
          return kinds.every((kind) => secrets.every(({ text }) => now[kind]?.includes(text))) ? true : undefined;
        },
        { what: 'the secrets that were let out', deadlineMs: 30_000 },
      );
    } finally {
      process.kill();
      await once(process, 'close');
    }
  }, 300_000);
}
