import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { makeReleaseSchema, type Accepted, type MakeRelease } from '#libs/contracts';
import {
  AuditEntryEntity,
  createDataSource,
  OperationEntity,
  ReleaseEntity,
  TenantEntity,
  UpgradeFailureEntity,
} from '#libs/db';
import { FakeEngine } from '#libs/engine';
import { createLogger } from '#libs/telemetry';
import type { Template } from '#libs/tenants';
import { registerReleases } from '../../apps/agent/src/releases.js';
import { answeringImages } from '../support/image-answers.js';
import { readyBackups as backups } from '../support/ready-backups.js';
import { healthyProbes, IMAGES, stackWorld, type StackWorld } from '../support/stack-world.js';

jest.setTimeout(60_000);

type RunOptions = NonNullable<Parameters<StackWorld['runner']>[0]>;

const NEXT = 'example.org/runtime:next';
/** No migration of this version, and of none before. */
const LATER = 'NotYet1999999999999';

let home: string;
let world: StackWorld;
let stopAnswering: () => void;
let first: ReleaseEntity;
let operator: Awaited<ReturnType<StackWorld['operator']>>;
let nextImage: string;
const never = new AbortController().signal;

const db = () => world.database.dataSource.manager;
const release = (id: string): Promise<ReleaseEntity> => db().findOneByOrFail(ReleaseEntity, { id });
const tenant = (id: string): Promise<TenantEntity> => db().findOneByOrFail(TenantEntity, { id });

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'aviary-releases-'));
  const agentSocket = join(home, 'agent.sock');
  world = await stackWorld({ agentSocket });
  stopAnswering = await answeringImages(agentSocket, world.engine);
  nextImage = world.engine.addImage(NEXT);
  [first] = (await db().find(ReleaseEntity)) as [ReleaseEntity];
  operator = await world.operator();
});
afterAll(async () => {
  stopAnswering();
  await world.close();
  await rm(home, { recursive: true, force: true });
});

const SHIPPED = resolve(import.meta.dirname, '../../tenant-template');

/** What an agent does at its start, of a version whose runtime is that image, and whose templates are in that folder. */
async function registered(
  runtime: string,
  engine: FakeEngine = world.engine,
  directory: string = SHIPPED,
): Promise<string> {
  const { releases, leftOut } = await registerReleases({
    directory,
    images: { ...IMAGES, AVIARY_IMAGE_RUNTIME: runtime },
    dataSource: world.database.dataSource,
    engine,
    logger: createLogger('test', 'silent'),
    now: () => new Date(),
  });
  expect(leftOut).toEqual([]);
  return releases[0] ?? '';
}

/** What processes may not do, and a migration does. */
async function asOwner(statement: string, name: string): Promise<void> {
  const owner = await createDataSource(world.database.ownerUrl).initialize();
  try {
    await owner.query(statement, [name]);
  } finally {
    await owner.destroy();
  }
}

async function run({ operation, stack }: Pick<Accepted, 'operation' | 'stack'>, options: RunOptions = {}) {
  await world.runner({ backups, ...options }).run(operation.id, stack.id, never);
  return db().findOneByOrFail(OperationEntity, { id: operation.id });
}

async function running(): Promise<{ slug: string; id: string; releaseId: string }> {
  const accepted = await world.stacks.create(await world.account(), { template: 'standard' });
  expect(await run(accepted)).toMatchObject({ state: 'done' });
  const { slug, id } = accepted.stack;
  return { slug, id, releaseId: (await tenant(id)).releaseId };
}

const wish = (over: Partial<MakeRelease>): MakeRelease =>
  makeReleaseSchema.parse({ like: first.id, version: '0.2.0', images: { runtime: NEXT }, ...over });
/** Made and offered, so that operators may upgrade stacks to it. */
async function candidate(over: Partial<MakeRelease> & { version: string }): Promise<string> {
  const { id } = await world.releases.make(operator, wish(over));
  await world.releases.move(operator, id, 'offer');
  return id;
}
const upgrade = (slug: string, to: string): Promise<Accepted> =>
  world.upgrades.upgrade(operator, slug, { release: to });

describe('what ships with the platform', () => {
  it('is stable where nothing of its template was before, so that a new platform serves at once', () => {
    expect(first.state).toBe('stable');
  });

  it('is a draft after that: new stacks are made of what was stable, and no owner is offered it before a person promotes it', async () => {
    const before = await running();
    const id = await registered(NEXT);
    expect(await release(id)).toMatchObject({ state: 'draft', images: { ...first.images, runtime: nextImage } });
    const during = await running();
    expect([before.releaseId, during.releaseId]).toEqual([first.id, first.id]);
    const offered = async (): Promise<(string | null)[]> =>
      (await world.stacks.list(operator)).items.map((stack) => stack.upgrade?.release ?? null);
    expect(await offered()).toEqual([null, null]);
    await expect(upgrade(before.slug, id)).rejects.toMatchObject({ details: { why: 'draft' } });
    await world.releases.move(operator, id, 'offer');
    expect(await run(await upgrade(before.slug, id))).toMatchObject({ state: 'done' });
    expect(await offered()).not.toContain(id);
    await world.releases.move(operator, id, 'promote');
    expect((await running()).releaseId).toBe(id);
    expect(await offered()).toContain(id);
    await world.releases.move(operator, id, 'withdraw');
  });

  it('of a version that went back is a draft which no new stack is made of, its template another one', async () => {
    const directory = join(home, 'of-a-version-that-went-back');
    await cp(SHIPPED, directory, { recursive: true });
    const file = join(directory, 'standard/compose.yml');
    const template = await readFile(file, 'utf8');
    const changed = template.replace('shared_buffers=24MB', 'shared_buffers=25MB');
    expect(changed).not.toBe(template);
    await writeFile(file, changed);
    const newer = await registered(IMAGES.AVIARY_IMAGE_RUNTIME, world.engine, directory);
    const during = await running();
    // Put back: the version before starts, and registers what it ships as it did before.
    expect(await registered(IMAGES.AVIARY_IMAGE_RUNTIME)).toBe(first.id);
    const after = await running();
    expect([during.releaseId, after.releaseId]).toEqual([first.id, first.id]);
    expect(newer).not.toBe(first.id);
    expect(await release(newer)).toMatchObject({ state: 'draft' });
    expect(JSON.stringify((await release(newer)).definition)).toContain('shared_buffers=25MB');
  });

  it('keeps the state a person gave it, however often an agent starts', async () => {
    const id = await registered(NEXT);
    expect((await release(id)).state).toBe('withdrawn');
    expect(await registered(IMAGES.AVIARY_IMAGE_RUNTIME)).toBe(first.id);
    expect((await release(first.id)).state).toBe('stable');
  });

  it('is a draft also where the only stable one was withdrawn', async () => {
    await world.releases.move(operator, first.id, 'withdraw');
    world.engine.addImage('example.org/runtime:third');
    expect((await release(await registered('example.org/runtime:third'))).state).toBe('draft');
    await world.releases.move(operator, first.id, 'offer');
    await world.releases.move(operator, first.id, 'promote');
  });

  it('is stable on a host that has the images of no stable one, as one that took the place of a lost host', async () => {
    const built = [...Object.values(IMAGES), 'example.org/runtime:fourth'];
    const host = new FakeEngine();
    // Ids follow the order in which things are made: those of its images are to be others than those of the lost host.
    Object.values(IMAGES).forEach((image) => host.addImage(image));
    built.forEach((image) => host.addImage(image));
    const id = await registered(IMAGES.AVIARY_IMAGE_RUNTIME, host);
    expect(id).not.toBe(first.id);
    expect((await release(id)).state).toBe('stable');
    expect((await release(await registered('example.org/runtime:fourth', host))).state).toBe('draft');
    await world.releases.move(operator, id, 'withdraw');
  });

  it('FM-18 is left out, with the reason, where its database’s image is of another PostgreSQL than its template says', async () => {
    const before = await db().countBy(ReleaseEntity, {});
    const host = new FakeEngine({ images: Object.values(IMAGES) });
    host.addImage(IMAGES.AVIARY_IMAGE_POSTGRES, { PG_MAJOR: '18' });
    const given = {
      directory: resolve(import.meta.dirname, '../../tenant-template'),
      images: IMAGES,
      dataSource: world.database.dataSource,
      engine: host,
      logger: createLogger('test', 'silent'),
      now: () => new Date(),
    };
    expect(await registerReleases(given)).toEqual({
      releases: [],
      leftOut: [
        {
          template: 'standard',
          reason: `The image ${IMAGES.AVIARY_IMAGE_POSTGRES} for postgres has PostgreSQL 18, and the release is for PostgreSQL 17. Set x-aviary.databaseMajor of standard to what its image has, or give it an image of PostgreSQL 17.`,
        },
      ],
    });
    expect(await db().countBy(ReleaseEntity, {})).toBe(before);
    host.addImage(IMAGES.AVIARY_IMAGE_POSTGRES, { PG_MAJOR: '17' });
    const [id = ''] = (await registerReleases(given)).releases;
    await world.releases.move(operator, id, 'withdraw');
  });
});

describe('a release that is made', () => {
  it('is a draft like another one, its images pinned to what the engine has at that moment', async () => {
    const given = { version: '0.3.0', notes: 'Grids start faster.\nNothing else.', requires: ['Stacks1763700000002'] };
    const made = await world.releases.make(operator, wish({ ...given, databaseMajor: 18 }));
    expect(made).toMatchObject({
      id: expect.stringMatching(/^standard@0\.3\.0\+[0-9a-f]{8}$/) as string,
      state: 'draft',
      ...given,
      images: { ...first.images, runtime: nextImage },
      databaseMajor: 18,
      stacks: 0,
    });
    const { services, ...others } = first.definition as Template;
    const row = await release(made.id);
    expect(row.definition).toEqual({
      ...others,
      services: { ...services, runtime: { ...services['runtime'], image: NEXT } },
      aviary: { ...others.aviary, version: '0.3.0', databaseMajor: 18, requires: given.requires },
    });
    const entry = await db().findOneByOrFail(AuditEntryEntity, { action: 'release.make', targetId: made.id });
    expect(entry.after).toMatchObject({ like: first.id, version: '0.3.0', notes: given.notes });
    // Where the tag leads later changes nothing.
    const moved = world.engine.addImage('example.org/runtime:moved');
    expect(moved).not.toBe(nextImage);
    expect((await release(made.id)).images['runtime']).toBe(nextImage);
  });

  it.each([
    ['like none that there is', { like: 'standard@9.9.9+00000000' }, 'NOT_FOUND', 'There is no release standard@9.9.9'],
    ['of an image that is not there', { images: { runtime: 'example.org/no:where' } }, 'IMAGE_MISSING', 'docker pull'],
    ['for a service there is none of', { images: { web: NEXT } }, 'VALIDATION_FAILED', 'standard has no service web'],
    ['with a version that is taken', { version: '0.3.0' }, 'WRONG_STATE', 'standard has a release 0.3.0 already'],
  ])('is refused %s, and nothing is there', async (_how, over, code, message) => {
    const before = await db().countBy(ReleaseEntity, {});
    await expect(world.releases.make(operator, wish({ version: '0.4.0', ...over }))).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message) as string,
    });
    expect(await db().countBy(ReleaseEntity, {})).toBe(before);
  });

  it('FM-18 is refused where a database’s image is of another PostgreSQL than the release would say, and taken where it is the same', async () => {
    const [seventeen, eighteen] = ['17', '18'].map((major) => {
      const image = `example.org/postgres:${major}`;
      world.engine.addImage(image, { PG_MAJOR: major });
      return image;
    }) as [string, string];
    const before = await db().countBy(ReleaseEntity, {});
    const refused = (image: string, has: number, says: number) => ({
      code: 'WRONG_STATE',
      message: `The image ${image} for postgres has PostgreSQL ${has}, and the release is for PostgreSQL ${says}. Say which it is with --database-major, or name another image; nothing was made.`,
      details: { why: 'image_major', says },
    });
    const make = (image: string, over: Partial<MakeRelease>) =>
      world.releases.make(operator, wish({ images: { postgres: image }, ...over }));
    await expect(make(eighteen, { version: '0.4.1' })).rejects.toMatchObject(refused(eighteen, 18, 17));
    await expect(make(seventeen, { version: '0.4.1', databaseMajor: 18 })).rejects.toMatchObject(
      refused(seventeen, 17, 18),
    );
    expect(await db().countBy(ReleaseEntity, {})).toBe(before);
    const made = await make(eighteen, { version: '0.4.1', databaseMajor: 18 });
    expect(made).toMatchObject({ databaseMajor: 18 });
    // What it is like counts too, where nobody names another image.
    const like = { like: made.id, images: { runtime: NEXT } };
    await expect(
      world.releases.make(operator, wish({ ...like, version: '0.4.2', databaseMajor: 17 })),
    ).rejects.toMatchObject(refused(eighteen, 18, 17));
    await world.releases.make(operator, wish({ ...like, version: '0.4.2' }));
  });

  it('is one of two that were asked for with one version at the same moment', async () => {
    const asked = ['', 'other'].map((notes) => world.releases.make(operator, wish({ version: '0.5.0', notes })));
    const ends = await Promise.allSettled(asked);
    expect(ends.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
    expect(ends.find((end) => end.status === 'rejected')?.reason).toMatchObject({ details: { why: 'version_taken' } });
  });

  it('is made by operators alone, who may write its notes anew', async () => {
    const owner = await world.account();
    await expect(world.releases.make(owner, wish({ version: '0.6.0' }))).rejects.toMatchObject({ code: 'FORBIDDEN' });
    const { id } = await world.releases.make(operator, wish({ version: '0.6.0', notes: 'Before.' }));
    await expect(world.releases.setNotes(owner, id, { notes: 'x' })).rejects.toMatchObject({ code: 'FORBIDDEN' });
    expect(await world.releases.setNotes(operator, id, { notes: 'After.' })).toMatchObject({ notes: 'After.' });
    const entry = await db().findOneByOrFail(AuditEntryEntity, { action: 'release.notes', targetId: id });
    expect(entry).toMatchObject({ before: { notes: 'Before.' }, after: { notes: 'After.' } });
    await expect(world.releases.setNotes(operator, 'nowhere', { notes: '' })).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
  });

  it('is offered only once the portal has had the migrations it needs', async () => {
    const { id } = await world.releases.make(operator, wish({ version: '0.7.0', requires: [LATER] }));
    const refused = {
      code: 'WRONG_STATE',
      message: expect.stringContaining(`${id} needs ${LATER}, which this portal’s database has not had.`) as string,
      details: { why: 'requires', missing: [LATER] },
    };
    await expect(world.releases.move(operator, id, 'offer')).rejects.toMatchObject(refused);
    expect((await release(id)).state).toBe('draft');
    await asOwner('insert into migrations (timestamp, name) values (1999999999999, $1)', LATER);
    await world.releases.move(operator, id, 'offer');
    // Gone again, as after a recovery from before: no stack is begun with.
    await asOwner('delete from migrations where name = $1', LATER);
    await expect(world.releases.move(operator, id, 'promote')).rejects.toMatchObject(refused);
    const stack = await running();
    const ended = await run(await upgrade(stack.slug, id));
    expect(ended).toMatchObject({ state: 'failed', error: { code: 'WRONG_STATE', details: { why: 'requires' } } });
    expect(await tenant(stack.id)).toMatchObject({ releaseId: first.id, observed: 'running', reason: null });
    await expect(world.releases.move(operator, id, 'withdraw')).resolves.toMatchObject({ state: 'withdrawn' });
  });
});

describe('FM-17 before an upgrade touches a stack', () => {
  it('it is asked for the images of the release it would be led back to', async () => {
    const to = await candidate({ version: '1.0.0' });
    const stack = await running();
    const gone = 'sha256:removed-by-hand';
    await db().update(ReleaseEntity, { id: first.id }, { images: { ...first.images, redis: gone } });
    const ended = await run(await upgrade(stack.slug, to));
    await db().update(ReleaseEntity, { id: first.id }, { images: first.images });
    expect(ended).toMatchObject({
      state: 'failed',
      error: {
        code: 'IMAGE_MISSING',
        message: expect.stringContaining('the stack could not go back to it') as string,
        details: { image: gone, service: 'redis' },
      },
    });
    expect(await tenant(stack.id)).toMatchObject({ releaseId: first.id, observed: 'running', reason: null });
    expect(await run(await upgrade(stack.slug, to))).toMatchObject({ state: 'done' });
  });

  it.each([
    ['that its release does not say', { PG_MAJOR: '18' }, undefined],
    ['that its release is not of', { PG_MAJOR: '17' }, 18],
  ] as const)(
    'FM-18 nothing is touched for a database of a PostgreSQL %s',
    async (what, environment, databaseMajor) => {
      const image = world.engine.addImage(`example.org/postgres:${what.replaceAll(' ', '-')}`, environment);
      const to = await candidate({ version: databaseMajor === undefined ? '1.0.2' : '1.0.3' });
      // As of a version of the platform that did not ask, or by hand.
      const { images, definition } = await release(to);
      const aviary = { ...(definition as Template).aviary, ...(databaseMajor === undefined ? {} : { databaseMajor }) };
      const changed = { images: { ...images, postgres: image }, definition: { ...definition, aviary } as object };
      await db().update(ReleaseEntity, { id: to }, changed);
      const stack = await running();
      const dump = (): Promise<never> => Promise.reject(new Error('it was begun all the same'));
      const ended = await run(await upgrade(stack.slug, to), { backups: { ...backups, dump } });
      expect(ended).toMatchObject({
        state: 'failed',
        error: {
          code: 'WRONG_STATE',
          message: expect.stringMatching(
            /^The image postgres:test for postgres has PostgreSQL \d\d, and the release is for PostgreSQL \d\d\. The stack stays as it is\. Withdraw/,
          ) as string,
          details: { why: 'image_major', to },
        },
      });
      expect(await tenant(stack.id)).toMatchObject({ releaseId: first.id, observed: 'running', reason: null });
      expect(await db().countBy(UpgradeFailureEntity, { tenantId: stack.id })).toBe(0);
    },
  );

  it('the host has room, so that no backup is taken for nothing', async () => {
    const to = await candidate({ version: '1.0.1' });
    const stack = await running();
    const dump = (): Promise<never> => Promise.reject(new Error('it was begun all the same'));
    const hostDisk = { totalMb: 100_000, freeMb: 2_047, floorMb: 2_048 };
    const ended = await run(await upgrade(stack.slug, to), { hostDisk, backups: { ...backups, dump } });
    expect(ended).toMatchObject({
      state: 'failed',
      error: { code: 'NO_CAPACITY', details: { freeMb: 2_047, floorMb: 2_048 } },
    });
    expect(await tenant(stack.id)).toMatchObject({ releaseId: first.id, observed: 'running', reason: null });
    expect(await db().countBy(UpgradeFailureEntity, { tenantId: stack.id })).toBe(0);
  });
});

describe('an upgrade that ends after it has touched its stack', () => {
  /** To a release of another major version; `meanwhile` while the data is carried, when it cannot be stopped any more. */
  async function carried(to: string, meanwhile: (slug: string) => Promise<unknown>) {
    const stack = await running();
    const accepted = await upgrade(stack.slug, to);
    const carrying = {
      ...backups,
      roomToCarry: () => Promise.resolve(),
      carry: async () => {
        await meanwhile(stack.slug);
        await db().query('update tenants set next_epoch = epoch + 1 where id = $1', [stack.id]);
        return 'carried';
      },
    };
    const ended = await run(accepted, { backups: carrying, leaseSeconds: 300 });
    const rollback = await db().findOneByOrFail(OperationEntity, { tenantId: stack.id, kind: 'rollback' });
    await world.runner({ backups }).run(rollback.id, stack.id, never);
    expect(await db().findOneBy(OperationEntity, { id: rollback.id })).toMatchObject({ state: 'done' });
    expect(await tenant(stack.id)).toMatchObject({ releaseId: first.id, observed: 'running', reason: null });
    return { stack, ended, failures: await db().countBy(UpgradeFailureEntity, { tenantId: stack.id }) };
  }

  it('since the release was withdrawn: it did not fail there, and may be tried again', async () => {
    const to = await candidate({ version: '2.0.1', databaseMajor: 18 });
    const { stack, ended, failures } = await carried(to, () => world.releases.move(operator, to, 'withdraw'));
    expect(ended).toMatchObject({ state: 'failed', error: { code: 'WRONG_STATE', details: { why: 'withdrawn' } } });
    expect(failures).toBe(0);
    await world.releases.move(operator, to, 'offer');
    await expect(upgrade(stack.slug, to)).resolves.toMatchObject({ operation: { kind: 'upgrade' } });
  });

  it('since somebody started its runtime by hand meanwhile: what that wrote is in what it goes back to', async () => {
    const to = await candidate({ version: '2.0.3', databaseMajor: 18 });
    let runtime = '';
    const { stack, ended, failures } = await carried(to, (slug) => {
      runtime = world.engine.names().containers.find((name) => name.endsWith(`${slug}-runtime`)) ?? '';
      return world.engine.startContainer(runtime, { deadlineMs: 1_000 });
    });
    expect(ended).toMatchObject({
      state: 'failed',
      error: { code: 'LOST_RACE', details: { why: 'started_meanwhile', started: [runtime] } },
    });
    expect(await tenant(stack.id)).toMatchObject({ epoch: 1, carriedEpochs: [] });
    expect(failures).toBe(0);
    await expect(upgrade(stack.slug, to)).resolves.toMatchObject({ operation: { kind: 'upgrade' } });
  });

  it('since it does not work: the same is not tried again', async () => {
    const to = await candidate({ version: '2.0.2' });
    const stack = await running();
    const probes = { ...healthyProbes, ready: () => Promise.reject(new Error('it does not answer')) };
    expect(await run(await upgrade(stack.slug, to), { probes })).toMatchObject({ state: 'failed' });
    expect(await db().countBy(UpgradeFailureEntity, { tenantId: stack.id, toRelease: to })).toBe(1);
  });
});
