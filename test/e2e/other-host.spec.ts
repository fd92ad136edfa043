import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { waitFor } from '#libs/async';
import type { BackupList, OperationView, StackView } from '#libs/contracts';
import { docker } from '../support/engine.js';
import { OtherEngine } from '../support/other-engine.js';
import { PortalClient } from '../support/portal-client.js';
import { PlatformWorld, SOON, type RunningStack } from './platform/world.js';

/** A second Docker host with an agent and a proxy of its own, set up as docs/operate.md tells. */
let world: PlatformWorld;
let north: OtherEngine;
let stack: RunningStack;

beforeAll(async () => {
  world = await PlatformWorld.open();
  const { platform } = world;
  const network = `aviary-${platform.facts.prefix}-portal`;
  north = await OtherEngine.start(
    await docker('network', 'inspect', '-f', '{{(index .IPAM.Config 0).Subnet}}', network),
  );
  stack = await world.runningStack();
  const folders = { from: platform.facts.dataDir, to: join(platform.facts.root, 'data-north') };
  await promisify(execFile)('cp', ['-a', folders.from, folders.to]);
  // Secrets, certificates and rules are its own; the backups of both lie in one place.
  await promisify(execFile)('rm', ['-r', join(folders.to, 'backups')]);
  await promisify(execFile)('ln', ['-s', join(folders.from, 'backups'), join(folders.to, 'backups')]);
  await north.sameAs(platform.container('agent'), { folders, env: { AVIARY_ENGINE_ID: 'north' } });
  await waitFor(
    async () =>
      (await world.platform.sql(`select count(*) from engines where id = 'north'`)) === '1' ? true : undefined,
    { what: 'the other agent’s first word', ...SOON },
  );
  await north.sameAs(platform.container('traefik'), { folders });
}, 420_000);
afterAll(async () => {
  try {
    await north?.close();
  } finally {
    await world?.platform.stop();
  }
}, 300_000);

const rowsOf = (query: (...args: string[]) => Promise<string>, slug: string): Promise<string> =>
  query(
    'exec',
    world.platform.service(slug, 'postgres'),
    'psql',
    '-U',
    'aviary',
    '-d',
    'aviary',
    '-Atc',
    'select count(*) from kept',
  );
const of = async (query: (...args: string[]) => Promise<string>, slug: string): Promise<string[]> => {
  const names = await query('ps', '-a', '--format', '{{.Names}}');
  return names.split('\n').filter((name) => name.includes(slug));
};

it('a backup is brought to the other host as a copy, which answers there, and is backed up and destroyed there', async () => {
  const { platform, operator } = world;
  await platform.stackSql(stack.slug, 'create table kept as select n from generate_series(1, 5000) n');
  expect((await platform.cli('backup', 'take', stack.slug)).code).toBe(0);
  const { items } = await stack.owner.api<BackupList>('GET', `/stacks/${stack.slug}/backups`);
  await platform.sql('update plans set stacks = 2');
  const { operation, stack: made } = await operator.api<{ operation: OperationView; stack: StackView }>(
    'POST',
    `/stacks/${stack.slug}/clone`,
    { backup: items[0]?.id, engine: 'north' },
  );
  expect(await operator.operationEnd(operation.id)).toMatchObject({ kind: 'clone', state: 'done', error: null });
  expect(await stack.owner.stack(made.slug)).toMatchObject({ engine: 'north', status: 'running' });
  const there = (...args: string[]): Promise<string> => north.docker(...args);
  expect([(await of(there, made.slug)).length, await of(docker, made.slug), await of(there, stack.slug)]).toEqual([
    3,
    [],
    [],
  ]);
  expect(await rowsOf(there, made.slug)).toBe('5000');

  // Its owner gets to it by the other host’s own proxy, over TLS and through the gate.
  const owner = new PortalClient({ ...platform.place, address: north.address });
  try {
    owner.accessToken = stack.owner.accessToken;
    const host = owner.dashboardHost(made.slug);
    await waitFor(async () => ((await owner.ask(host, '/ready')).status === 404 ? undefined : true), {
      what: 'its route on the other host',
      ...SOON,
    });
    expect((await owner.ask(host, '/ready')).status).not.toBe(200);
    await owner.signOn(made.slug);
    expect((await owner.ask(host, '/ready')).status).toBe(200);
    await world.served(stack);
  } finally {
    owner.close();
  }

  expect((await platform.cli('backup', 'take', made.slug)).code).toBe(0);
  expect(await stack.owner.destroy(made.slug)).toMatchObject({ state: 'done', error: null });
  expect(await of(there, made.slug)).toEqual([]);
  expect(await rowsOf(docker, stack.slug)).toBe('5000');
}, 420_000);
