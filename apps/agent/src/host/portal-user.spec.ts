import { chown, lchown, lstat, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { FORMER_PORTAL, FORMER_STORES, PORTAL, STORES, takeOver } from './portal-user.js';

const asRoot = process.getuid?.() === 0 ? it : it.skip;
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aviary-portal-user-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function asItWas(): Promise<{ own: string; deep: string; link: string; elsewhere: string }> {
  const own = join(folder, 'own');
  const deep = join(own, 'data', '0a', 'pack');
  const link = join(own, 'link');
  const elsewhere = join(folder, 'elsewhere');
  await mkdir(join(own, 'data', '0a'), { recursive: true });
  await mkdir(elsewhere);
  await writeFile(deep, 'x', { mode: 0o600 });
  await writeFile(join(elsewhere, 'letter'), 'x');
  await symlink(elsewhere, link);
  await Promise.all(
    [own, join(own, 'data'), join(own, 'data', '0a'), deep].map((path) => chown(path, FORMER_PORTAL, FORMER_PORTAL)),
  );
  await lchown(link, FORMER_PORTAL, FORMER_PORTAL);
  return { own, deep, link, elsewhere };
}

asRoot('what the portal wrote as the user it was becomes its own, and nothing a link leads to', async () => {
  const { own, deep, link, elsewhere } = await asItWas();
  await takeOver(own);
  const owners = [await stat(own), await stat(join(own, 'data', '0a')), await stat(deep), await lstat(link)];
  expect(owners.map(({ uid, gid }) => [uid, gid])).toEqual(owners.map(() => [PORTAL, PORTAL]));
  expect((await stat(deep)).mode & 0o777).toBe(0o600);
  expect([(await stat(elsewhere)).uid, (await stat(join(elsewhere, 'letter'))).uid]).toEqual([0, 0]);
});

asRoot('a folder that is its own already is not gone through, and another user’s is left alone', async () => {
  const { own, deep } = await asItWas();
  for (const uid of [PORTAL, 4242]) {
    await chown(own, uid, uid);
    await takeOver(own);
    expect([(await stat(own)).uid, (await stat(deep)).uid]).toEqual([uid, FORMER_PORTAL]);
  }
});

asRoot('a store’s volume becomes its own, one just made too, and one that is its own is left as it is', async () => {
  for (const former of [0, FORMER_STORES]) {
    const { own, deep } = await asItWas();
    await Promise.all([own, deep].map((path) => chown(path, former, former)));
    await takeOver(own, { own: STORES.redis, former: [0, FORMER_STORES] });
    expect([(await stat(own)).uid, (await stat(deep)).uid]).toEqual([STORES.redis, STORES.redis]);
    await chown(deep, 0, 0);
    await takeOver(own, { own: STORES.redis, former: [0, FORMER_STORES] });
    expect((await stat(deep)).uid).toBe(0);
    await rm(own, { recursive: true });
    await rm(join(folder, 'elsewhere'), { recursive: true });
  }
});

it('nothing of the portal runs as a user that a stack’s services have', async () => {
  const users = async (file: string): Promise<Map<string, string>> => {
    const { services } = parse(await readFile(file, 'utf8'), { merge: true }) as {
      services: Record<string, { user: string }>;
    };
    return new Map(Object.entries(services).map(([name, { user }]) => [name, user.split(':')[0] ?? '']));
  };
  const portal = await users('docker-compose.portal.yml');
  const stacks = await users('tenant-template/standard/compose.yml');
  expect([...stacks.values()].every((uid) => Number(uid) > 0)).toBe(true);
  expect([...portal].filter(([, uid]) => [...stacks.values()].includes(uid))).toEqual([]);
  expect([portal.get('postgres'), portal.get('redis'), portal.get('agent')].map(Number)).toEqual([
    STORES.postgres,
    STORES.redis,
    PORTAL,
  ]);
});
