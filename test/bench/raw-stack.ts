// The floor: the same objects by raw dockerode calls, as parallel as they can be, with no platform in between.
import { randomBytes, randomUUID } from 'node:crypto';
import { request } from 'node:http';
import Docker from 'dockerode';
import { Semaphore, waitFor } from '#libs/async';
import { newSigningKey, publicKeyText } from '#libs/crypto';
import { edgeAddress, stackNames, type Template } from '#libs/tenants';
import { wantStack, type StackFacts, type StackWant } from '#libs/orchestrator';
import { createOptions, endpointOptions } from '../../libs/engine/src/docker/container-options.js';
import { sendCourier } from '../../libs/engine/src/docker/courier.js';

export interface RawSettings {
  docker: Docker;
  /** Of the running platform: its edge network is used, everything else is the bench's own. */
  platformId: string;
  facts: Pick<StackFacts, 'pool' | 'template' | 'images' | 'limits'>;
}

/** Numbers of subnets and slots far from those a small platform gives out. */
const FIRST_SUBNET = 3_000;
const FIRST_SLOT = 300;
const READY_MS = 60_000;

export interface RawStack {
  facts: StackFacts;
  want: StackWant;
  /** Files of the secret volumes, made before the clock starts. */
  files: Parameters<typeof sendCourier>[1]['volumes'];
}

/** `user`: aviary starts from the cluster the image carries, anything else makes initdb run, the official image's way. */
export function rawStack(settings: RawSettings, index: number, user: string): RawStack {
  const { template } = settings.facts;
  const postgres = template.services['postgres'];
  if (!postgres) {
    throw new Error('the template has no postgres');
  }
  const own: Template = {
    ...template,
    services: {
      ...template.services,
      postgres: { ...postgres, environment: { ...postgres.environment, POSTGRES_USER: user, POSTGRES_DB: user } },
    },
  };
  const slug = `u${randomBytes(4)
    .toString('hex')
    .replaceAll(/[0189]/g, 'x')
    .slice(0, 6)}`;
  const facts: StackFacts = {
    ...settings.facts,
    template: own,
    platformId: settings.platformId,
    tenantId: randomUUID(),
    slug,
    generation: 1,
    provisioningGeneration: 1,
    epoch: 1,
    nextEpoch: null,
    keptEpochs: [],
    carriedEpochs: [],
    backingUp: false,
    clonedFrom: null,
    tradingHeldSince: null,
    tradesAfter: null,
    release: '0.0.0',
    desired: 'running',
    holds: [],
    subnet: FIRST_SUBNET + index,
    edges: { runtime: { edge: 0, slot: FIRST_SLOT + index } },
    hostsOnGateway: ['aviary.localhost'],
    domains: [],
  };
  const names = stackNames(facts.platformId, slug);
  const password = randomBytes(24).toString('base64url');
  const redis = randomBytes(24).toString('base64url');
  const key = newSigningKey();
  const spec = {
    version: 1,
    platform: facts.platformId,
    tenant: facts.tenantId,
    slug,
    generation: 1,
    provisioningGeneration: 1,
    release: '0.0.0',
    dashboardUrl: 'https://bench.aviary.localhost',
    portalUrl: 'https://aviary.localhost',
    limits: facts.limits,
    gatePublicKey: publicKeyText(key),
    database: { host: 'postgres', port: 5432, user, database: user },
    redis: { host: 'redis', port: 6379 },
  };
  const contents: Record<string, string> = {
    'database-password': password,
    'redis-password': redis,
    'stack-key.pem': key.export({ format: 'pem', type: 'pkcs8' }).toString(),
    'spec.json': JSON.stringify(spec),
    'portal-ca.pem': '',
    'redis.conf': `dir /data\nappendonly yes\nappendfsync everysec\nsave ""\nmaxmemory-policy noeviction\nrequirepass ${redis}\n`,
  };
  const files = Object.entries(own.aviary.files).map(([service, list]) => {
    const [uid = 0, gid = 0] = (own.services[service]?.user ?? '').split(':').map(Number);
    return {
      volume: names.secrets(service),
      files: Object.keys(list).map((path) => ({ path, content: contents[path] ?? '', mode: 0o400, uid, gid })),
    };
  });
  return { facts, want: wantStack(facts), files };
}

/** Milliseconds from the first call until the runtime's /ready answers by address. */
export async function startRaw({ docker }: RawSettings, stack: RawStack): Promise<number> {
  const { want, facts, files } = stack;
  const began = performance.now();
  const network = docker.createNetwork({
    Name: want.network.name,
    Internal: true,
    Labels: { ...want.network.labels },
    IPAM: { Driver: 'default', Config: [{ Subnet: want.network.subnet, Gateway: want.network.gateway }] },
    Options: { 'com.docker.network.bridge.name': want.network.bridgeName },
  });
  const volumes = Promise.all(
    want.volumes.map(({ name, labels }) => docker.createVolume({ Name: name, Labels: { ...labels } })),
  );
  const delivered = volumes.then(() =>
    sendCourier(
      docker,
      {
        name: `${want.network.name}-courier`,
        labels: want.network.labels,
        image: want.containers[0]?.spec.image ?? '',
        volumes: files,
      },
      new Semaphore(1),
      AbortSignal.timeout(READY_MS),
    ),
  );
  await Promise.all(
    want.containers.map(async ({ spec }) => {
      await Promise.all([network, volumes]);
      const container = await docker.createContainer(createOptions(spec));
      for (const attachment of spec.networks.slice(1)) {
        await docker
          .getNetwork(attachment.network)
          .connect({ Container: container.id, EndpointConfig: endpointOptions(attachment) });
      }
      await delivered;
      await container.start();
    }),
  );
  await ready(facts);
  return performance.now() - began;
}

export async function ready(facts: StackFacts): Promise<void> {
  const slot = facts.edges['runtime'];
  const host = edgeAddress(facts.pool, slot?.edge ?? 0, slot?.slot ?? 0);
  await waitFor(
    () =>
      new Promise<true | undefined>((resolve, reject) => {
        const probe = request({ host, port: 8080, path: '/ready', signal: AbortSignal.timeout(250) }, (response) => {
          response.resume();
          resolve(response.statusCode === 200 ? true : undefined);
        });
        probe.on('error', reject);
        probe.end();
      }),
    { what: `${facts.slug} answering /ready`, deadlineMs: READY_MS, intervalMs: 15, maxIntervalMs: 60 },
  );
}

/** Removes exactly what `startRaw` or compose made for this stack, by name. */
export async function removeRaw({ docker }: RawSettings, { want }: RawStack): Promise<void> {
  const gone = (work: Promise<unknown>): Promise<unknown> =>
    work.catch((error: { statusCode?: number }) => {
      if (error.statusCode !== 404) {
        throw error;
      }
    });
  await Promise.all(want.containers.map(({ spec }) => gone(docker.getContainer(spec.name).remove({ force: true }))));
  await gone(docker.getNetwork(want.network.name).remove());
  await Promise.all(want.volumes.map(({ name }) => gone(docker.getVolume(name).remove())));
}
