import { readFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { parseMemory, portIsFree, problems, proxyPorts, type HostFacts } from './preflight.js';
import { fill } from './layout.js';
import { settle, type Platform } from './settings.js';

const platform = (given: Record<string, string> = {}): Platform => ({
  config: settle('', given).config,
  id: '0190a000-0000-7000-8000-000000000001',
  prefix: 'beef',
  values: new Map(),
  envText: '',
  envFile: '/nowhere/.env',
  isNew: true,
});

const LEAST_MEMORY = 1_536 * 2 ** 20;
const LEAST_DISK = 8 * 2 ** 30;

const good: HostFacts = {
  engine: {
    version: '20.10.24',
    apiVersion: '1.41',
    minApiVersion: '1.12',
    dataRoot: '/var/lib/docker',
    memoryBytes: 4e9,
    cpus: 2,
    liveRestore: true,
    cgroupVersion: '1',
  },
  memory: { total: LEAST_MEMORY, available: LEAST_MEMORY },
  disk: { engine: LEAST_DISK, data: LEAST_DISK },
  routes: [{ interface: 'eth0', base: 0, prefix: 0 }],
  takenPorts: [],
  dataRefuses: null,
  backups: { folder: '/mnt/backups', refuses: null, foreign: false, missingKeys: [] },
  clock: { now: new Date('2026-12-01T00:00:00Z'), skewSeconds: 0, certified: null },
  dataOwner: null,
  pool: { recorded: '10.128.0.0/14', inUse: true },
  running: false,
};

it('finds nothing against a good host', () => {
  expect(problems(platform(), good)).toEqual([]);
});

it.each<[string, Partial<HostFacts>, RegExp]>([
  ['a taken port', { takenPorts: [443] }, /Port 443 is taken.*AVIARY_HTTPS_PORT/],
  ['little memory', { memory: { total: 1e9, available: 1e9 } }, /0\.9 GiB of memory; 1\.5 GiB/],
  ['a full disk', { disk: { engine: 2 ** 30, data: LEAST_DISK } }, /Only 1\.0 GiB.*\/var\/lib\/docker/],
  [
    'an overlapping network',
    { routes: [{ interface: 'tun0', base: 0x0a820000, prefix: 16 }] },
    /10\.130\.0\.0\/16.*tun0/,
  ],
  ['somebody else’s data', { dataOwner: 'other' }, /belongs to platform other/],
  [
    'another pool than the stacks live in',
    { pool: { recorded: '10.64.0.0/14', inUse: true } },
    /AVIARY_ADDRESS_POOL is 10\.128\.0\.0\/14.*addresses of 10\.64\.0\.0\/14\. Put it back/,
  ],
  [
    'a data folder that takes nothing',
    { dataRefuses: 'EROFS' },
    /data folder \/var\/lib\/aviary \(EROFS\).*AVIARY_DATA_DIR/,
  ],
  [
    'a backup folder that takes nothing',
    { backups: { folder: '/mnt/backups', refuses: 'ENOSPC', foreign: false, missingKeys: [] } },
    /backup folder \/mnt\/backups \(ENOSPC\).*AVIARY_BACKUP_URL/,
  ],
  [
    'a backup folder full of somebody else’s files',
    { backups: { folder: '/mnt/backups', refuses: null, foreign: true, missingKeys: [] } },
    /\/mnt\/backups holds files of another user.*AVIARY_BACKUP_URL/,
  ],
  [
    'an S3 server without a key',
    { backups: { folder: null, refuses: null, foreign: false, missingKeys: ['/d/s3/key-id'] } },
    /\/d\/s3\/key-id is missing/,
  ],
  [
    'a clock from before the release',
    { clock: { ...good.clock, now: new Date('1970-01-01T00:05:00Z') } },
    /clock reads 1970.*Set the clock/,
  ],
  [
    'a clock that was put back',
    { clock: { ...good.clock, certified: new Date('2026-12-24T00:00:00Z') } },
    /before this platform's certificates were made \(2026-12-24/,
  ],
  ['an engine of another time', { clock: { ...good.clock, skewSeconds: -40 } }, /differ by 40 s/],
  ['an old engine', { engine: { ...good.engine, apiVersion: '1.39' } }, /20\.10/],
])('says one sentence about %s', (_what, fact, sentence) => {
  const found = problems(platform(), { ...good, ...fact });
  expect(found).toHaveLength(1);
  expect(found[0]).toMatch(sentence);
});

it('asks less disk of a platform that runs already', () => {
  expect(problems(platform(), { ...good, disk: { engine: 2 * 2 ** 30, data: 2 * 2 ** 30 }, running: true })).toEqual(
    [],
  );
});

it('takes another pool before the first stack', () => {
  expect(problems(platform(), { ...good, pool: { recorded: '10.64.0.0/14', inUse: false } })).toEqual([]);
  expect(problems(platform(), { ...good, pool: { recorded: null, inUse: true } })).toEqual([]);
});

it('knows the ports of its own proxy by the file it was given', async () => {
  const template = await readFile('traefik/traefik.yml', 'utf8');
  expect(proxyPorts(fill(template, { HTTP_PORT: 81, HTTPS_PORT: 444, PROXY_PORT: 19_081 }))).toEqual([81, 444, 19_081]);
  expect(proxyPorts('')).toEqual([]);
});

it('asks for as much as it was told to', () => {
  const modest = platform({ AVIARY_LEAST_MEMORY_MB: '512', AVIARY_LEAST_DISK_GB: '1' });
  const small = { memory: { total: 2 ** 30, available: 0 }, disk: { engine: 2 ** 31, data: 2 ** 31 } };
  expect(problems(platform(), { ...good, ...small })).toHaveLength(3);
  expect(problems(modest, { ...good, ...small })).toEqual([]);
});

it('knows a listening port from a free one', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  expect(await portIsFree(port, '127.0.0.1')).toBe(false);
  await new Promise((resolve) => server.close(resolve));
  expect(await portIsFree(port, '127.0.0.1')).toBe(true);
});

it('reads the kernel’s memory figures', () => {
  expect(parseMemory('MemTotal:        2048 kB\nMemFree: 1 kB\nMemAvailable:    1024 kB\n')).toEqual({
    total: 2 * 2 ** 20,
    available: 2 ** 20,
  });
});
