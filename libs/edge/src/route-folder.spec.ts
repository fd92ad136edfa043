import { execFileSync } from 'node:child_process';
import { watch } from 'node:fs';
import {
  chown,
  lstat,
  mkdtemp,
  mkdir,
  readFile,
  readdir,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RouteFile } from './domain/dynamic.js';
import { SERVED_FILE, validateRouteFile } from './domain/render.js';
import { renderCanary, renderShared } from './domain/shared-routes.js';
import { renderTenantRoutes } from './domain/tenant-routes.js';
import { RouteFolder } from './route-folder.js';

const settings = {
  portalDomain: 'aviary.test',
  tenantDomain: 'stacks.test',
  gateUrls: ['http://10.0.0.2:8082'],
  apiUrls: ['http://10.0.0.3:8080'],
  certificateDir: '/certs',
};
const tenantFile = (slug: string, serving: 'tenant' | 'asleep' = 'tenant'): RouteFile =>
  renderTenantRoutes(
    {
      tenantId: '0193a1f0-0000-7000-8000-000000000001',
      slug,
      serving,
      routes: [{ host: 'dashboard', auth: 'portal', address: { host: '10.0.1.2', port: 8080 } }],
    },
    settings,
  );

describe('the route folder', () => {
  const shared = renderShared(settings);
  const logger = { warn: () => undefined, info: () => undefined };
  let base: string;
  let directory: string;
  let folder: RouteFolder;
  const open = (): RouteFolder =>
    new RouteFolder({ directory, quarantineDirectory: join(base, 'quarantine'), logger: logger });
  const content = async (name: string): Promise<string> => readFile(join(directory, name), 'utf8');

  beforeEach(async () => {
    base = await mkdtemp(join(tmpdir(), 'aviary-routes-'));
    directory = join(base, 'routes');
    await mkdir(directory);
    folder = open();
  });
  afterEach(async () => {
    await rm(base, { recursive: true, force: true });
  });

  it('publishes, replaces and removes; nothing else is left in the folder', async () => {
    await folder.adopt([shared]);
    const file = tenantFile('uabc234');
    await folder.publish(file);
    expect(await content('uabc234.yml')).toBe(file.content);
    expect((await stat(join(directory, 'uabc234.yml'))).mode & 0o777).toBe(0o644);
    await folder.publish(tenantFile('uabc234', 'asleep'));
    expect(await folder.read('uabc234.yml')).toBe(tenantFile('uabc234', 'asleep').content);
    expect(await readdir(directory)).toEqual([SERVED_FILE, 'aviary-shared.yml', 'uabc234.yml']);
    await folder.remove('uabc234.yml');
    await folder.remove('uabc234.yml');
    expect(await folder.list()).toEqual(['aviary-shared.yml']);
  });

  it('never writes an invalid file', async () => {
    await folder.publish(tenantFile('uabc234'));
    await expect(folder.publish({ name: 'uabc234.yml', content: 'http: [' })).rejects.toMatchObject({
      code: 'ROUTE_INVALID',
    });
    await expect(folder.publish({ name: '../x.yml', content: '{}' })).rejects.toMatchObject({ code: 'ROUTE_INVALID' });
    expect(await content('uabc234.yml')).toBe(tenantFile('uabc234').content);
    expect(await readdir(base)).toEqual(['routes']);
  });

  it('moves away whatever is foreign or altered, in any shape, and puts ours back', async () => {
    const good = tenantFile('uabc234');
    await folder.adopt([shared, good]);
    await writeFile(join(directory, 'uabc234.yml'), '{"http": {"routers": {}}}');
    await writeFile(join(directory, 'broken.yml'), 'http: [');
    await writeFile(join(directory, '.hidden.yml'), 'http: {}');
    await writeFile(join(directory, 'uzzz222.yml'), tenantFile('uzzz222').content);
    await mkdir(join(directory, 'sub'));
    await writeFile(join(directory, 'sub', 'deep.toml'), '[http');
    await writeFile(join(base, 'elsewhere.yml'), 'http: {}');
    await symlink(join(base, 'elsewhere.yml'), join(directory, 'link.yml'));
    await writeFile(join(directory, '.uabc234.yml.0badcafe.tmp'), 'half');

    const found = await folder.quarantine();
    expect(found.map(({ name, reason }) => `${name} ${reason}`).toSorted()).toEqual([
      '.hidden.yml broken',
      'broken.yml broken',
      'link.yml foreign',
      'sub foreign',
      'uabc234.yml altered',
      'uzzz222.yml foreign',
    ]);
    expect(await readdir(directory)).toEqual([SERVED_FILE, 'aviary-shared.yml', 'uabc234.yml']);
    expect(await content('uabc234.yml')).toBe(good.content);
    expect(await readdir(join(base, 'quarantine'))).toHaveLength(6);
    expect(await readFile(found.find(({ name }) => name === 'broken.yml')?.movedTo ?? '', 'utf8')).toBe('http: [');
    expect(await readFile(join(base, 'elsewhere.yml'), 'utf8')).toBe('http: {}');
    expect(await folder.quarantine()).toEqual([]);
  });

  it('moves across file systems, since both folders are mounts of their own in production', async () => {
    const elsewhere = await mkdtemp(join('/dev/shm', 'aviary-quarantine-'));
    try {
      expect((await stat(elsewhere)).dev).not.toBe((await stat(directory)).dev);
      const split = new RouteFolder({ directory, quarantineDirectory: elsewhere, logger });
      await mkdir(join(directory, 'sub'));
      await writeFile(join(directory, 'sub', 'deep.yml'), 'http: [');
      await symlink('/etc/passwd', join(directory, 'link.yml'));
      const found = await split.adopt([shared]);
      expect(await readdir(directory)).toEqual([SERVED_FILE, shared.name]);
      const moved = found.find(({ name }) => name === 'sub')?.movedTo ?? '';
      expect(await readFile(join(moved, 'deep.yml'), 'utf8')).toBe('http: [');
      const link = found.find(({ name }) => name === 'link.yml')?.movedTo ?? '';
      expect((await lstat(link)).isSymbolicLink()).toBe(true);
    } finally {
      await rm(elsewhere, { recursive: true, force: true });
    }
  });

  // Only root can plant what another user may not touch.
  const asRoot = process.getuid?.() === 0 ? it : it.skip;
  asRoot('takes from the proxy what it may not read, says what it cannot remove, and mends the rest', async () => {
    const elsewhere = await mkdtemp(join('/dev/shm', 'aviary-quarantine-'));
    const AGENT = 10_011;
    const said: unknown[] = [];
    const split = new RouteFolder({
      directory,
      quarantineDirectory: elsewhere,
      logger: { ...logger, warn: (about: unknown) => said.push(about) },
    });
    await split.adopt([shared]);
    await writeFile(join(directory, 'locked.yml'), 'http: [', { mode: 0o000 });
    await mkdir(join(directory, 'sub'), { mode: 0o755 });
    await writeFile(join(directory, 'sub', 'deep.yml'), 'http: [');
    await writeFile(join(directory, 'zz-broken.yml'), 'http: [');
    execFileSync('mkfifo', [join(directory, 'pipe.yml')]);
    await Promise.all([base, directory, elsewhere].map((folder) => chown(folder, AGENT, AGENT)));
    try {
      process.seteuid?.(AGENT);
      const found = await split.quarantine();
      expect(found.map(({ name }) => name).toSorted()).toEqual(['locked.yml', 'pipe.yml', 'zz-broken.yml']);
      expect((await readdir(directory)).filter((name) => name.includes('locked'))).toEqual([]);
      expect(await split.quarantine()).toEqual([]);
      await split.publish(tenantFile('uabc234'));
    } finally {
      process.seteuid?.(0);
    }
    expect((await readdir(directory)).filter((name) => name.endsWith('.yml'))).toEqual([
      SERVED_FILE,
      shared.name,
      'uabc234.yml',
    ]);
    expect(await split.list()).toEqual([shared.name, 'sub', 'uabc234.yml']);
    expect(JSON.stringify(said)).toContain('"file":"sub"');
    // Nothing piles up while the folder cannot be removed.
    expect((await readdir(elsewhere)).filter((name) => name.endsWith('-sub'))).toEqual([]);
    await rm(elsewhere, { recursive: true, force: true });
  });

  asRoot('writes ours around one that stands in the way and cannot be moved', async () => {
    const AGENT = 10_011;
    const said: unknown[] = [];
    const own = new RouteFolder({
      directory,
      quarantineDirectory: join(base, 'quarantine'),
      logger: { ...logger, warn: (about: unknown) => said.push(about) },
    });
    await own.adopt([shared, tenantFile('uabc234'), tenantFile('uzzz222')]);
    await rm(join(directory, 'uabc234.yml'));
    await mkdir(join(directory, 'uabc234.yml', 'full'), { recursive: true });
    await rm(join(directory, 'uzzz222.yml'));
    await Promise.all([base, directory].map((folder) => chown(folder, AGENT, AGENT)));
    try {
      process.seteuid?.(AGENT);
      await own.quarantine();
      expect(await own.read('uabc234.yml')).not.toBeNull();
    } finally {
      process.seteuid?.(0);
    }
    expect(await content('uzzz222.yml')).toBe(tenantFile('uzzz222').content);
    expect(JSON.stringify(said)).toContain('"file":"uabc234.yml"');
    expect((await readdir(directory)).filter((name) => name.endsWith('.tmp'))).toEqual([]);
    await own.remove('uabc234.yml');
    expect(await own.read('uabc234.yml')).toBeNull();
  });

  it('does not read a file that is far too large for a route', async () => {
    await folder.adopt([shared, tenantFile('uabc234')]);
    await writeFile(join(directory, 'large.yml'), '');
    await truncate(join(directory, 'large.yml'), 3 * 1024 ** 3);
    await truncate(join(directory, 'uabc234.yml'), 3 * 1024 ** 3);
    expect((await folder.quarantine()).map(({ name, reason }) => `${name} ${reason}`).toSorted()).toEqual([
      'large.yml foreign',
      'uabc234.yml altered',
    ]);
    expect(await content('uabc234.yml')).toBe(tenantFile('uabc234').content);
  });

  it('writes a missing file of ours again', async () => {
    await folder.adopt([shared, tenantFile('uabc234')]);
    await rm(join(directory, 'uabc234.yml'));
    expect(await folder.quarantine()).toEqual([]);
    expect(await content('uabc234.yml')).toBe(tenantFile('uabc234').content);
  });

  it('before it knows the whole list, removes only what is broken', async () => {
    await folder.publish(tenantFile('uabc234'));
    await writeFile(join(directory, 'broken.yml'), 'http: [');
    const again = open();
    expect((await again.quarantine()).map(({ name }) => name)).toEqual(['broken.yml']);
    expect(await again.list()).toEqual(['uabc234.yml']);
    expect((await again.adopt([shared])).map(({ name }) => name)).toEqual(['uabc234.yml']);
  });

  it('renews what an earlier process wrote otherwise, and quarantines only what that process cannot have written', async () => {
    await folder.adopt([shared, renderCanary(settings, 7), tenantFile('uabc234', 'asleep'), tenantFile('uzzz222')]);
    await writeFile(join(directory, 'uzzz222.yml'), 'http: [');
    const next = open();
    const found = await next.adopt([shared, renderCanary(settings, 0), tenantFile('uabc234'), tenantFile('uzzz222')]);
    expect(found.map(({ name, reason }) => [name, reason])).toEqual([['uzzz222.yml', 'altered']]);
    expect(await content('uabc234.yml')).toBe(tenantFile('uabc234').content);
    expect(await content('uzzz222.yml')).toBe(tenantFile('uzzz222').content);
    expect(await content(renderCanary(settings, 0).name)).toBe(renderCanary(settings, 0).content);
    await writeFile(join(directory, 'uabc234.yml'), tenantFile('uabc234', 'asleep').content);
    expect((await next.quarantine()).map(({ name, reason }) => [name, reason])).toEqual([['uabc234.yml', 'altered']]);
  });

  it('keeps what was published while the list was being made', async () => {
    await folder.publish(tenantFile('uabc234', 'asleep'));
    await folder.adopt([shared, tenantFile('uabc234')]);
    expect(await content('uabc234.yml')).toBe(tenantFile('uabc234', 'asleep').content);
  });

  describe('gives the proxy one file', () => {
    const served = async (): Promise<{ routers: string[]; text: string }> => {
      const text = await content(SERVED_FILE);
      const { http } = JSON.parse(text) as { http?: { routers?: object } };
      return { routers: Object.keys(http?.routers ?? {}), text };
    };
    const own = ['uabc234-dashboard', 'uzzz222-dashboard'];

    it('of everything, and of nothing that is not ours', async () => {
      await folder.adopt([shared, renderCanary(settings, 7), tenantFile('uabc234')]);
      await folder.publish(tenantFile('uzzz222', 'asleep'));
      await writeFile(join(directory, 'thief.yml'), tenantFile('uzzz222').content.replaceAll('uzzz222-', 'thief-'));
      await folder.touch();
      const parsed = [shared, renderCanary(settings, 7), tenantFile('uabc234'), tenantFile('uzzz222', 'asleep')].map(
        validateRouteFile,
      );
      expect(JSON.parse((await served()).text)).toEqual({
        http: {
          routers: Object.assign({}, ...parsed.map(({ http }) => http.routers)) as unknown,
          services: Object.assign({}, ...parsed.map(({ http }) => http.services)) as unknown,
          middlewares: Object.assign({}, ...parsed.map(({ http }) => http.middlewares)) as unknown,
          serversTransports: validateRouteFile(shared).http.serversTransports,
        },
        tls: validateRouteFile(shared).tls,
      });
      await folder.remove('uabc234.yml');
      expect((await served()).routers).not.toContain('uabc234-dashboard');
    });

    it('without a word of TLS or of parts that nobody has', async () => {
      await folder.adopt([tenantFile('uabc234')]);
      expect(Object.keys(JSON.parse((await served()).text) as object)).toEqual(['http']);
      await folder.remove('uabc234.yml');
      expect((await served()).text).toBe('{}\n');
    });

    it('once for many at the same time', async () => {
      await folder.adopt([shared]);
      let renewed = 0;
      const { promise: allTold, resolve } = Promise.withResolvers<void>();
      const watcher = watch(directory, (_event, name) => {
        renewed += name === SERVED_FILE ? 1 : 0;
        if (name === 'last') {
          resolve();
        }
      });
      const slugs = Array.from(
        { length: 20 },
        (_, at) => `uabc${['2', '3'][at % 2]}${'abcdefghij'[at % 10]}${'ab'[Number(at > 9)]}`,
      );
      await Promise.all(slugs.map((slug) => folder.publish(tenantFile(slug))));
      // Events are told in their order.
      await writeFile(join(directory, 'last'), '');
      await allTold;
      watcher.close();
      expect((await served()).routers).toEqual(expect.arrayContaining(slugs.map((slug) => `${slug}-dashboard`)));
      expect(renewed).toBeGreaterThan(0);
      expect(renewed).toBeLessThanOrEqual(3);
    });

    it('anew, also with nothing new in it, when it is touched', async () => {
      await folder.adopt([shared]);
      const before = [(await stat(join(directory, SERVED_FILE))).ino, await content(SERVED_FILE)];
      await folder.touch();
      const after = [(await stat(join(directory, SERVED_FILE))).ino, await content(SERVED_FILE)];
      expect(after[0]).not.toBe(before[0]);
      expect(after[1]).toBe(before[1]);
    });

    it.each([
      ['edited', (path: string) => writeFile(path, '{"http": {"routers": {}}}')],
      ['torn', (path: string) => truncate(path, 20)],
      ['removed', (path: string) => rm(path)],
      ['replaced by a folder', (path: string) => rm(path).then(() => mkdir(join(path, 'full'), { recursive: true }))],
    ])('again where it was %s', async (_how, damage) => {
      await folder.adopt([shared, tenantFile('uabc234')]);
      const good = await content(SERVED_FILE);
      await damage(join(directory, SERVED_FILE));
      await folder.quarantine();
      expect(await content(SERVED_FILE)).toBe(good);
      expect(await folder.quarantine()).toEqual([]);
    });

    it('again before anybody relies on it, and not where it is as it was', async () => {
      await folder.adopt([shared, tenantFile('uabc234')]);
      const good = await content(SERVED_FILE);
      const before = await stat(join(directory, SERVED_FILE));
      await folder.serveAgain();
      expect((await stat(join(directory, SERVED_FILE))).ino).toBe(before.ino);
      await writeFile(join(directory, SERVED_FILE), '{"http": {"routers": {}}}');
      await folder.serveAgain();
      expect(await content(SERVED_FILE)).toBe(good);
      await rm(join(directory, SERVED_FILE));
      await folder.serveAgain();
      expect(await content(SERVED_FILE)).toBe(good);
    });

    it('and leaves it alone until the whole list is known', async () => {
      await folder.adopt([shared, tenantFile('uabc234'), tenantFile('uzzz222')]);
      const before = await content(SERVED_FILE);
      const again = open();
      await again.publish(tenantFile('uabc234', 'asleep'));
      expect(await again.quarantine()).toEqual([]);
      expect(await content(SERVED_FILE)).toBe(before);
      await again.adopt([shared, tenantFile('uabc234'), tenantFile('uzzz222')]);
      expect((await served()).routers).toEqual(expect.arrayContaining(own));
      expect((await served()).text).toContain('asleep');
    });

    it('before a stack’s own, so that who finds that one may rely on it', async () => {
      await folder.adopt([shared]);
      await rm(join(directory, SERVED_FILE));
      await mkdir(join(directory, SERVED_FILE, 'full'), { recursive: true });
      await expect(folder.publish(tenantFile('uabc234'))).rejects.toThrow('EISDIR');
      expect(await folder.read('uabc234.yml')).toBeNull();
      await folder.quarantine();
      expect((await served()).routers).toContain('uabc234-dashboard');
      expect(await folder.read('uabc234.yml')).not.toBeNull();
    });
  });

  it('readers see whole files only, while many are written', async () => {
    const valid = new Set([tenantFile('uabc234').content, tenantFile('uabc234', 'asleep').content]);
    await folder.publish(tenantFile('uabc234'));
    let writing = true;
    const writer = (async () => {
      for (let turn = 0; turn < 100; turn += 1) {
        await folder.publish(tenantFile('uabc234', turn % 2 ? 'asleep' : 'tenant'));
      }
      writing = false;
    })();
    let reads = 0;
    while (writing) {
      expect(valid.has(await content('uabc234.yml'))).toBe(true);
      reads += 1;
    }
    await writer;
    expect(reads).toBeGreaterThan(10);
  });
});
