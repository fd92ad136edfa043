import { randomUUID } from 'node:crypto';
import { chmod, chown, mkdir, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { waitFor } from '#libs/async';
import type { Accepted, OperationView } from '#libs/contracts';
import { docker, testImage } from '../../support/engine.js';
import type { PortalClient } from '../../support/portal-client.js';
import { SOON, type PlatformWorld } from './world.js';

/** The agent's user in its container, which owns the route folder. */
const AGENT = 10_011;

/** Bad input and faults, each one really there: on the engine, in its volumes, in the route folder. */
export function faults(world: () => PlatformWorld): void {
  afterEach(() => world().clear(), 120_000);

  /** A stack whose provisioning begins only after `meanwhile` was done to it. */
  async function createdAfter(
    owner: PortalClient,
    meanwhile: (accepted: Accepted) => Promise<void>,
  ): Promise<{ accepted: Accepted; over: OperationView }> {
    const accepted = await world().withoutAgent(async () => {
      const made = await owner.createStack();
      await meanwhile(made);
      return made;
    });
    return { accepted, over: await owner.operationOver(accepted.operation.id) };
  }

  it('one idempotency key makes one stack, however often it is sent at once', async () => {
    const owner = await world().signedUp();
    const key = { 'idempotency-key': randomUUID() };
    const made = await Promise.allSettled(
      Array.from({ length: 4 }, () => owner.api<Accepted>('POST', '/stacks', {}, key)),
    );
    const slugs = new Set(made.flatMap((result) => (result.status === 'fulfilled' ? [result.value.stack.slug] : [])));
    expect(slugs.size).toBe(1);
    const { items } = await owner.api<{ items: unknown[] }>('GET', '/stacks');
    expect(items).toHaveLength(1);
  }, 60_000);

  it('an image that is not on the engine: said so, and a start works once it is back', async () => {
    const { platform } = world();
    const [image, reference] = await Promise.all([
      platform.sql(`select images->>'runtime' from releases where state = 'stable' order by created_at desc limit 1`),
      platform.sql(`select definition->'services'->'runtime'->>'image' from releases order by created_at desc limit 1`),
    ]);
    const tar = join(platform.facts.root, 'runtime.tar');
    const owner = await world().signedUp();
    await docker('save', '-o', tar, reference);
    try {
      // Layers that only builds know stay, so that the next build need not begin anew.
      await docker('rmi', '--force', '--no-prune', image);
      const { stack, operation } = await owner.createStack();
      const failed = await owner.operationOver(operation.id);
      expect(failed).toMatchObject({ state: 'failed', error: { code: 'IMAGE_MISSING' } });
      expect(failed.error?.message).toContain(image.replace('sha256:', ''));
      const seen = await owner.stack(stack.slug);
      expect(seen).toMatchObject({ status: 'attention', reason: failed.error?.message });
      await docker('load', '-i', tar);
      expect(await owner.order(stack.slug, 'start')).toMatchObject({ state: 'done', error: null });
      await owner.signOn(stack.slug);
      await world().served({ owner, slug: stack.slug });
    } finally {
      await docker('load', '-i', tar);
      await rm(tar);
    }
  }, 180_000);

  it('a create the engine refuses: its reason is told, and a start works once there is none', async () => {
    const { platform } = world();
    const owner = await world().signedUp();
    const { accepted, over } = await createdAfter(owner, async ({ stack }) => {
      // More processors than any machine of the tests has: the engine answers 400 to the create.
      await platform.sql(`update tenants set limits = jsonb_set(limits, '{cpus}', '4096') where id = '${stack.id}'`);
    });
    expect(over).toMatchObject({ state: 'failed', error: { code: 'ENGINE_REFUSED', details: { status: 400 } } });
    expect(over.error?.message).toMatch(/refused create container \S+: .*CPUs/);
    const { slug, id } = accepted.stack;
    expect((await owner.stack(slug)).status).toBe('attention');
    await platform.sql(`update tenants set limits = jsonb_set(limits, '{cpus}', '1') where id = '${id}'`);
    expect(await owner.order(slug, 'start')).toMatchObject({ state: 'done', error: null });
    await owner.signOn(slug);
    await world().served({ owner, slug });
  }, 180_000);

  it('a container that dies and one that never becomes ready: told with their last log lines, and mended by a restart', async () => {
    const { platform } = world();
    const [dying, waiting] = [await world().runningStack(), await world().runningStack()];
    const database = platform.service(dying.slug, 'postgres');
    const configuration = '/var/lib/postgresql/data/postgresql.conf';
    await docker('exec', database, 'sh', '-c', `echo 'no such setting' >> ${configuration}`);
    // The runtime knows the old one from its file, which nobody changed.
    await platform.stackSql(waiting.slug, `alter role aviary password 'another one'`);
    // What a page says right after it: a repair begins by itself a little later.
    const restarted = async ({ owner, slug }: typeof dying) => {
      const operation = await owner.order(slug, 'restart');
      return { ...operation, stack: await owner.stack(slug) };
    };
    const [died, waited] = await Promise.all([restarted(dying), restarted(waiting)]);

    expect(died).toMatchObject({ state: 'failed', error: { code: 'HEALTH_GATE_FAILED' } });
    expect(died.error?.message).toMatch(/^postgres keeps ending with exit code 1\./);
    expect(died.error?.details['logs']).toMatchObject({
      postgres: expect.arrayContaining([expect.stringMatching(/postgresql\.conf.* (syntax error|contains errors)/)]),
    });
    expect(waited).toMatchObject({ state: 'failed', error: { code: 'HEALTH_GATE_FAILED' } });
    expect(JSON.stringify(waited.error?.details['logs'])).toMatch(/password authentication failed/);
    for (const { stack } of [died, waited]) {
      expect(stack.status).toBe('attention');
      expect((stack.reason ?? '').length).toBeGreaterThan(20);
    }

    const inVolumesOf = (container: string, command: string, ...args: string[]): Promise<string> => {
      const options = ['--rm', '--volumes-from', container, '--user', '999:999', '--entrypoint', command];
      return docker('run', ...options, testImage('postgres'), ...args);
    };
    await inVolumesOf(database, 'sed', '-i', '/^no such setting$/d', configuration);
    const file = '/run/aviary/database-password';
    const password = await inVolumesOf(platform.service(waiting.slug, 'postgres'), 'cat', file);
    await platform.stackSql(waiting.slug, `alter role aviary password '${password}'`);
    for (const stack of [dying, waiting]) {
      expect(await stack.owner.order(stack.slug, 'restart')).toMatchObject({ state: 'done', error: null });
      await world().served(stack);
    }
  }, 300_000);

  it('broken, foreign, locked and misshapen files in the route folder are taken away, and nobody else notices', async () => {
    const { platform } = world();
    const stack = await world().runningStack();
    const routes = join(platform.facts.dataDir, 'routes');
    const thief = JSON.stringify({
      http: {
        routers: {
          thief: {
            rule: `Host(\`${stack.owner.dashboardHost(stack.slug)}\`)`,
            priority: 9_999,
            service: 'noop@internal',
            tls: {},
          },
        },
      },
    });
    await writeFile(join(platform.facts.root, 'elsewhere.yml'), thief);
    await writeFile(join(routes, 'broken.yml'), 'http: { routers: [');
    await writeFile(join(routes, 'thief.yml'), thief);
    await symlink(join(platform.facts.root, 'elsewhere.yml'), join(routes, 'link.yml'));
    await symlink('/nowhere', join(routes, 'dangling.yml'));
    await mkdir(join(routes, 'folder.yml'));
    await writeFile(join(routes, 'folder.yml', 'deep.yml'), 'http: [');
    await chown(join(routes, 'folder.yml'), AGENT, AGENT);
    // Of root, which the agent is not.
    await writeFile(join(routes, 'locked.yml'), thief);
    await chmod(join(routes, 'locked.yml'), 0o000);
    await waitFor(
      async () => ((await readdir(routes)).every((name) => /^(aviary-|u[a-z2-7]{6}[.])/.test(name)) ? true : undefined),
      { what: 'all of them being taken away', ...SOON },
    );
    // All but the locked one, which the agent may not read and Traefik may not start with.
    const kept = await readdir(join(platform.facts.dataDir, 'quarantine'));
    const readable = ['broken.yml', 'thief.yml', 'link.yml', 'dangling.yml', 'folder.yml'];
    expect(readable.filter((name) => !kept.some((file) => file.endsWith(`-${name}`)))).toEqual([]);
    await world().served(stack);
    await docker('restart', platform.container('traefik'));
    await world().served(stack);
    // Traefik follows again: a new stack's route is live.
    await world().runningStack();
  }, 240_000);

  it('the portal’s database restarting in the middle of a provisioning only delays it', async () => {
    const { platform } = world();
    const owner = await world().signedUp();
    const network = platform.door.holdAnswer((step) => step.startsWith('POST /networks/create'));
    const { stack, operation } = await owner.createStack();
    const held = await network;
    expect(held.step).toContain(stack.slug);
    expect(await platform.sql(`select state from operations where id = '${operation.id}'`)).toBe('running');
    await docker('restart', '-t', '5', platform.container('postgres'));
    held.release();
    await owner.operationEnd(operation.id);
    await owner.signOn(stack.slug);
    await world().served({ owner, slug: stack.slug });
    expect((await platform.objects()).networks.filter((name) => name.includes(stack.slug))).toHaveLength(1);
  }, 240_000);

  it('a stack whose data volume vanished is not begun anew on an empty one, and says so', async () => {
    const { platform } = world();
    const { slug } = await world().runningStack();
    expect((await platform.cli('tenant', 'stop', slug)).code).toBe(0);
    await docker('rm', platform.service(slug, 'postgres'));
    const data = (await platform.objects()).volumes.find((name) => name.includes(`${slug}-data`)) ?? '';
    await docker('volume', 'rm', data);
    const started = await platform.cli('tenant', 'start', slug);
    expect(started).toMatchObject({ code: 1, document: { ok: false, error: { code: 'DATA_MISSING' } } });
    expect((await platform.objects()).volumes).not.toContain(data);
    expect((await platform.cli<{ status: string }>('tenant', 'show', slug)).document.data.status).toBe('attention');
  }, 180_000);
}
