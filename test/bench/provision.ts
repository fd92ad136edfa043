import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { randomBytes } from 'node:crypto';
import Docker from 'dockerode';
import { parse } from 'yaml';
import { platformPrefix, type Accepted, type OperationView } from '#libs/contracts';
import { Semaphore, waitFor } from '#libs/async';
import { parsePool, parseTemplate } from '#libs/tenants';
import { PortalClient, type PortalPlace } from '../support/portal-client.js';
import { engineEndpoint, engineSocket } from '../support/engine.js';
import { withOwnPlatform } from './own-platform.js';
import { rawStack, ready, removeRaw, startRaw, type RawSettings, type RawStack } from './raw-stack.js';
import { atMost, median, quantile, round, type BenchResult } from './report.js';

const execute = promisify(execFile);
/** Database user by kind of floor: `aviary` starts from the cluster the image carries. */
const KINDS = [
  ['a', 'bench'],
  ['a2', 'aviary'],
] as const;
const IDLE_MS = 60_000;
/** Of stacks at once: one alone says little about what was a matter of moments. */
const ROUNDS = 3;

interface Options {
  n: number;
  parallel: number;
  /** Where the running platform's .env lies; without it the bench brings up one of its own. */
  root: string | undefined;
  say: (text: string) => void;
}

interface World {
  place: PortalPlace;
  raw: RawSettings;
  prefix: string;
  tools: string;
}

/** Of the engine that `docker` asks. */
const socketOfEngine = (): string =>
  (process.env['DOCKER_HOST'] ?? 'unix:///var/run/docker.sock').replace(/^unix:\/\//, '');

async function readWorld(root: string): Promise<World> {
  const env = new Map(
    (await readFile(join(root, '.env'), 'utf8')).split('\n').flatMap((line) => {
      const [, name, value] = /^(AVIARY_[A-Z_]+)=(.*)$/.exec(line) ?? [];
      return name === undefined ? [] : [[name, value ?? ''] as const];
    }),
  );
  const setting = (name: string): string => {
    const value = env.get(name);
    if (value === undefined) {
      throw new Error(`${name} is not in ${root}/.env: bring the platform up first`);
    }
    return value;
  };
  const docker = new Docker();
  const platformId = setting('AVIARY_PLATFORM_ID');
  const prefix = platformPrefix(platformId);
  const agent = await docker.getContainer(`aviary-${prefix}-agent`).inspect();
  const images = Object.fromEntries(
    agent.Config.Env.flatMap((line) =>
      line.startsWith('AVIARY_IMAGE_') ? [line.split('=', 2) as [string, string]] : [],
    ),
  );
  const template = parseTemplate(
    parse(await readFile(join(root, 'tenant-template/standard/compose.yml'), 'utf8')),
    images,
  );
  const dataDir = setting('AVIARY_DATA_DIR');
  return {
    prefix,
    tools: agent.Config.Image,
    place: {
      portalDomain: setting('AVIARY_PORTAL_DOMAIN'),
      tenantDomain: setting('AVIARY_TENANT_DOMAIN'),
      httpsPort: Number(setting('AVIARY_HTTPS_PORT')),
      address: '127.0.0.1',
      ca: await readFile(join(dataDir, 'ca/ca.crt'), 'utf8'),
    },
    raw: {
      docker,
      platformId,
      facts: {
        pool: parsePool(setting('AVIARY_ADDRESS_POOL')),
        template,
        images: Object.fromEntries(Object.entries(template.services).map(([service, { image }]) => [service, image])),
        limits: { cpus: 1, memoryMb: 512, diskGb: 5, pids: 256, bots: 2 },
      },
    },
  };
}

/** A customer of its own for each run at once: an account's plan allows few stacks. */
async function customer(world: World, root: string, made: string[]): Promise<PortalClient> {
  const name = `bench${randomBytes(4).toString('hex')}`;
  const password = randomBytes(18).toString('base64url');
  const child = spawn(
    join(root, 'scripts/aviary'),
    ['user', 'create', '--email', `${name}@example.org`, '--username', name, '--password-stdin', '--json'],
    { stdio: ['pipe', 'ignore', 'inherit'] },
  );
  child.stdin.end(`${password}\n`);
  const [code] = (await once(child, 'close')) as [number];
  if (code !== 0) {
    throw new Error(`aviary user create ended with ${code}`);
  }
  made.push(name);
  const client = new PortalClient(world.place);
  await client.login(name, password);
  return client;
}

interface Run {
  total: number;
  operation: OperationView;
  slug: string;
}

/** From the accepted request until the runtime's own body arrives through the proxy over TLS with the owner's cookie. */
async function viaAviary(client: PortalClient): Promise<Run> {
  const { stack, operation }: Accepted = await client.createStack();
  const began = performance.now();
  await client.signOn(stack.slug);
  const host = client.dashboardHost(stack.slug);
  await waitFor(async () => ((await client.ask(host, '/ready')).status === 200 ? true : undefined), {
    what: `${stack.slug} through the proxy`,
    deadlineMs: 60_000,
    intervalMs: 15,
    maxIntervalMs: 60,
  });
  const total = performance.now() - began;
  return { total, operation: await client.operationEnd(operation.id), slug: stack.slug };
}

/** `docker compose up --wait` on the same template; networks and health check are what Compose needs besides. */
async function viaCompose(world: World, stack: RawStack, helper: string): Promise<number> {
  const { want, facts } = stack;
  const project = {
    name: want.network.name,
    services: Object.fromEntries(
      want.containers.map(({ service, spec }) => [
        service,
        {
          container_name: spec.name,
          image: spec.image,
          user: spec.user,
          command: spec.command,
          environment: spec.environment,
          read_only: true,
          init: true,
          cap_drop: ['ALL'],
          security_opt: ['no-new-privileges:true'],
          mem_limit: spec.limits.memoryBytes,
          memswap_limit: spec.limits.memoryBytes,
          cpus: spec.limits.cpus,
          pids_limit: spec.limits.pids,
          stop_grace_period: '1s',
          tmpfs: spec.tmpfs.map(({ target, sizeBytes }) => `${target}:size=${sizeBytes},mode=1777`),
          volumes: spec.mounts.map(({ volume, target, readOnly }) => `${volume}:${target}${readOnly ? ':ro' : ''}`),
          networks: Object.fromEntries(
            spec.networks.map(({ network, address }) => [
              network === want.network.name ? 'internal' : 'edge',
              { ipv4_address: address },
            ]),
          ),
          ...(service === 'runtime'
            ? {
                healthcheck: {
                  test: [
                    'CMD',
                    'node',
                    '-e',
                    "fetch('http://127.0.0.1:8080/ready').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))",
                  ],
                  interval: '250ms',
                  timeout: '5s',
                  retries: 100,
                },
              }
            : {}),
        },
      ]),
    ),
    networks: {
      internal: {
        name: want.network.name,
        internal: true,
        ipam: { config: [{ subnet: want.network.subnet, gateway: want.network.gateway }] },
      },
      edge: {
        name: want.containers.flatMap(({ spec }) => spec.networks).find(({ network }) => network !== want.network.name)
          ?.network,
        external: true,
      },
    },
    volumes: Object.fromEntries(want.volumes.map(({ name }) => [name, { name, external: true }])),
  };
  for (const { name, labels } of want.volumes) {
    await world.raw.docker.createVolume({ Name: name, Labels: { ...labels } });
  }
  const { sendCourier } = await import('../../libs/engine/src/docker/courier.js');
  await sendCourier(
    world.raw.docker,
    {
      name: `${want.network.name}-courier`,
      labels: want.network.labels,
      image: want.containers[0]?.spec.image ?? '',
      volumes: stack.files,
    },
    new Semaphore(1),
    AbortSignal.timeout(60_000),
  );
  const folder = await mkdtemp(join(tmpdir(), 'aviary-bench-'));
  try {
    await writeFile(join(folder, 'compose.json'), JSON.stringify(project));
    await execute('docker', ['cp', join(folder, 'compose.json'), `${helper}:/tmp/compose.json`]);
    const began = performance.now();
    await execute(
      'docker',
      [
        'exec',
        helper,
        'docker',
        'compose',
        '-f',
        '/tmp/compose.json',
        'up',
        '-d',
        '--wait',
        '--wait-timeout',
        '60',
        '--pull',
        'never',
      ],
      { timeout: 90_000 },
    );
    await ready(facts);
    return performance.now() - began;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Idle memory of each container: cgroup usage less inactive file pages, in MiB; as the engine reports both. */
async function idleMemory(world: World, slug: string): Promise<Record<string, number>> {
  const result: Record<string, number> = {};
  for (const service of Object.keys(world.raw.facts.template.services)) {
    const stats = (await world.raw.docker
      .getContainer(`aviary-${world.prefix}-${slug}-${service}`)
      .stats({ stream: false })) as {
      memory_stats: { usage: number; stats: Record<string, number> };
    };
    const { usage, stats: detail } = stats.memory_stats;
    result[service] = round((usage - (detail['total_inactive_file'] ?? detail['inactive_file'] ?? 0)) / 1024 ** 2, 1);
  }
  return result;
}

const figuresOf = (name: string, values: readonly number[]): string =>
  `${name.padEnd(54)} p50 ${round(median(values))} ms   p95 ${round(quantile(values, 0.95))} ms`;

/** So many stacks by raw calls at once: the milliseconds of each. */
async function rawAtOnce(world: World, count: number, user: string): Promise<number[]> {
  const stacks = Array.from({ length: count }, (_unused, index) => rawStack(world.raw, index, user));
  try {
    return await Promise.all(stacks.map((stack) => startRaw(world.raw, stack)));
  } finally {
    await Promise.all(stacks.map((stack) => removeRaw(world.raw, stack)));
  }
}

/** On the platform of `root`, or on one of its own, whose agent has the engine's own socket as any other. */
export async function provision({ root, ...options }: Options): Promise<BenchResult> {
  if (root !== undefined) {
    return onPlatform({ ...options, root });
  }
  process.env['DOCKER_HOST'] = engineEndpoint();
  return withOwnPlatform({ AVIARY_ENGINE_SOCKET: engineSocket() }, ({ platform }) =>
    onPlatform({ ...options, root: platform.facts.root }),
  );
}

async function onPlatform({ n, parallel, root, say }: Options & { root: string }): Promise<BenchResult> {
  const world = await readWorld(root);
  const accounts: string[] = [];
  const client = await customer(world, root, accounts);
  const helper = `aviary-${world.prefix}-bench`;
  await execute('docker', [
    'run',
    '-d',
    '--rm',
    '--name',
    helper,
    '--network',
    'none',
    '--user',
    '0:0',
    '-v',
    `${socketOfEngine()}:/var/run/docker.sock`,
    world.tools,
    'sleep',
    '3600',
  ]);
  const times: Record<'a' | 'a2' | 'b' | 'c', number[]> = { a: [], a2: [], b: [], c: [] };
  const steps = new Map<string, number[]>();
  const memory: Record<string, number[]> = {};
  const crowded: Record<'a' | 'a2' | 'c', number[]> = { a: [], a2: [], c: [] };
  try {
    // The first stack makes the edge bridge; its time says nothing about the others.
    await client.destroy((await viaAviary(client)).slug);
    for (let i = 0; i < n; i += 1) {
      for (const [kind, user] of KINDS) {
        const stack = rawStack(world.raw, i, user);
        try {
          times[kind].push(await startRaw(world.raw, stack));
        } finally {
          await removeRaw(world.raw, stack);
        }
      }
      const composed = rawStack(world.raw, i, 'aviary');
      try {
        times.b.push(await viaCompose(world, composed, helper));
      } finally {
        await removeRaw(world.raw, composed);
      }
      const run = await viaAviary(client);
      times.c.push(run.total);
      for (const step of run.operation.steps) {
        if (step.startedAt !== null && step.finishedAt !== null) {
          // Objects are named prefix-slug-role; the network and the route go without a role.
          const role = (step.target ?? '').split('-').at(-1) ?? '';
          const label =
            step.action === null
              ? step.phase
              : `${step.phase}: ${step.action}${role === run.slug || role === 'route' ? '' : ` ${role}`}`;
          steps.set(label, [...(steps.get(label) ?? []), Date.parse(step.finishedAt) - Date.parse(step.startedAt)]);
        }
      }
      await client.destroy(run.slug);
      say(
        `${i + 1}/${n}: floor ${round(times.a[i] ?? 0)} ms, with our images ${round(times.a2[i] ?? 0)}, compose ${round(times.b[i] ?? 0)}, Aviary ${round(run.total)}`,
      );
    }
    const crowd = await Promise.all(Array.from({ length: parallel }, () => customer(world, root, accounts)));
    for (let turn = 1; turn <= ROUNDS; turn += 1) {
      for (const [kind, user] of KINDS) {
        crowded[kind].push(...(await rawAtOnce(world, parallel, user)));
      }
      const together = await Promise.all(crowd.map(async (one) => viaAviary(one)));
      crowded.c.push(...together.map(({ total }) => total));
      say(`${parallel} at once, ${turn}/${ROUNDS}`);
      if (turn === ROUNDS) {
        say(`idle memory of ${together.length} stacks after ${IDLE_MS / 1_000} s`);
        await pause(IDLE_MS);
        for (const { slug } of together) {
          for (const [service, mib] of Object.entries(await idleMemory(world, slug))) {
            (memory[service] ??= []).push(mib);
          }
        }
      }
      await Promise.all(crowd.map(async (one, index) => one.destroy(together[index]?.slug ?? '')));
    }
    crowd.forEach((one) => one.close());
  } finally {
    await execute('docker', ['rm', '-f', helper]);
    client.close();
    // A portal deletes no account, and one made for an hour looks like any other later.
    say(`${accounts.length} accounts stay on this platform, since accounts cannot be deleted: ${accounts.join(', ')}`);
  }
  const m = { a: median(times.a), a2: median(times.a2), b: median(times.b), c: median(times.c) };
  const services = Object.fromEntries(
    Object.entries(memory).map(([service, values]) => [service, round(median(values), 1)]),
  );
  const stackMib = round(
    Object.values(services).reduce((sum, mib) => sum + mib, 0),
    1,
  );
  const names = {
    a: '(a) raw calls, initdb at first start',
    a2: '(a′) raw calls, our images',
    b: '(b) docker compose up --wait',
    c: '(c) Aviary, accepted → body through TLS',
  };
  return {
    metrics: {
      ...Object.fromEntries(
        Object.entries(times).flatMap(([key, values]) => [
          [`${key}_p50_ms`, round(median(values))],
          [`${key}_p95_ms`, round(quantile(values, 0.95))],
        ]),
      ),
      ...Object.fromEntries(
        Object.entries(crowded).flatMap(([key, values]) => [
          [`parallel_${key}_p50_ms`, round(median(values))],
          [`parallel_${key}_p95_ms`, round(quantile(values, 0.95))],
        ]),
      ),
      ...Object.fromEntries(Object.entries(services).map(([service, mib]) => [`idle_${service}_mib`, mib])),
      idle_stack_mib: stackMib,
    },
    goals: [
      atMost('(c) / (a)', '×', 1, round(m.c / m.a, 2)),
      atMost('(c) / (a′)', '×', 1.3, round(m.c / m.a2, 2)),
      { metric: '(c) against (b)', unit: '×', goal: '< 1', value: round(m.c / m.b, 2), met: m.c < m.b },
      atMost(`${parallel} at once: (c) / (a)`, '×', 1.15, round(median(crowded.c) / median(crowded.a), 2)),
      atMost(`${parallel} at once: (c) / (a′)`, '×', 1.15, round(median(crowded.c) / median(crowded.a2), 2)),
      atMost('idle memory of a stack', 'MiB', 120, stackMib),
      atMost('idle memory of the runtime', 'MiB', 80, services['runtime'] ?? Number.NaN),
    ],
    lines: [
      ...Object.entries(names).map(([key, name]) => figuresOf(name, times[key as 'a'])),
      ...Object.entries(crowded).map(([key, values]) => figuresOf(`${parallel} at once: ${names[key as 'a']}`, values)),
      '',
      '(c) step by step, medians:',
      ...[...steps].map(([label, values]) => `  ${label.padEnd(42)} ${round(median(values))} ms`),
      '',
      ...Object.entries(services).map(([service, mib]) => `idle ${service.padEnd(39)} ${mib} MiB`),
    ],
  };
}
