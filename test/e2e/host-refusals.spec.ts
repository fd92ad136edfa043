import { execFile } from 'node:child_process';
import { access, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createAuthority, issueLeaf } from '#libs/crypto';
import { docker, engineSocket } from '../support/engine.js';
import { copyOfRepository, script, type Ran } from '../support/platform.js';

const execute = promisify(execFile);
const sh = async (...command: string[]): Promise<string> =>
  (await execute(command[0] ?? '', command.slice(1), { timeout: 60_000 })).stdout;

/** What the script refused with: every line that says so. */
const refusals = ({ stderr }: Ran): string[] => stderr.split('\n').filter((line) => line.startsWith('✗ '));

describe('a host that cannot take the platform', () => {
  let root: string;
  let dataDir: string;
  beforeAll(async () => {
    root = await copyOfRepository();
    dataDir = join(root, 'data');
  }, 60_000);
  afterAll(() => rm(root, { recursive: true, force: true }));

  /** The engine lists what was made in the same second in any order. */
  const sorted = async (listing: Promise<string>): Promise<string> => (await listing).split('\n').toSorted().join('\n');

  /** Everything `up` could have changed outside the data folder. */
  async function world(): Promise<Record<string, string>> {
    return {
      containers: await sorted(docker('ps', '-a', '--no-trunc', '--format', '{{.ID}} {{.Names}}')),
      networks: await sorted(docker('network', 'ls', '--no-trunc', '--format', '{{.ID}} {{.Name}}')),
      volumes: await sorted(docker('volume', 'ls', '--format', '{{.Name}}')),
      images: await sorted(docker('image', 'ls', '--no-trunc', '--format', '{{.ID}} {{.Repository}}:{{.Tag}}')),
      rules: await sh('iptables', '-S'),
      files: (await readdir(root)).filter((name) => name !== 'data').join(' '),
    };
  }

  async function refused(settings: Record<string, string>): Promise<{ code: number; refusals: string[] }> {
    const before = await world();
    const ran = await script(root, 'up', [], {
      AVIARY_DATA_DIR: dataDir,
      AVIARY_ENGINE_SOCKET: engineSocket(),
      ...settings,
    });
    expect(await world()).toEqual(before);
    await expect(access(join(root, '.env'))).rejects.toThrow('ENOENT');
    expect(ran.stdout).toBe('');
    return { code: ran.code, refusals: refusals(ran) };
  }

  it('says which port is taken and by which setting another is chosen', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(18_443, '0.0.0.0', resolve));
    try {
      expect(await refused({ AVIARY_HTTPS_PORT: '18443' })).toEqual({
        code: 8,
        refusals: [
          '✗ Port 18443 is taken by another program. Stop it, or set AVIARY_HTTPS_PORT in .env to a free port.',
        ],
      });
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
    await expect(access(dataDir)).rejects.toThrow('ENOENT');
  }, 120_000);

  it('names a network of this host that the pool would take over', async () => {
    await docker('network', 'create', '--subnet', '10.129.0.0/16', 'somebody-elses');
    try {
      const { code, refusals: said } = await refused({});
      expect(code).toBe(8);
      expect(said).toEqual([
        expect.stringMatching(/^✗ AVIARY_ADDRESS_POOL 10\.128\.0\.0\/14 overlaps 10\.129\.0\.0\/16, .* through br-/),
      ]);
    } finally {
      await docker('network', 'rm', 'somebody-elses');
    }
  }, 120_000);

  it.each<[string, Record<string, string>, RegExp]>([
    ['a name that is none', { AVIARY_PORTAL_DOMAIN: 'not a host' }, /AVIARY_PORTAL_DOMAIN must be a host name/],
    ['a public pool', { AVIARY_ADDRESS_POOL: '8.8.0.0/14' }, /AVIARY_ADDRESS_POOL must be a private IPv4 network/],
    ['equal ports', { AVIARY_HTTP_PORT: '443' }, /must differ/],
    ['a data folder without a root', { AVIARY_DATA_DIR: 'data' }, /AVIARY_DATA_DIR must be an absolute path/],
  ])(
    '%s among the settings is a wrong use',
    async (_what, settings, sentence) => {
      expect(await refused(settings)).toEqual({ code: 2, refusals: [expect.stringMatching(sentence)] });
    },
    120_000,
  );

  it('says how much memory it lacks', async () => {
    expect(await refused({ AVIARY_LEAST_MEMORY_MB: '99999999' })).toEqual({
      code: 8,
      refusals: [expect.stringMatching(/has \d+\.\d GiB of memory; 97656\.2 GiB are needed/)],
    });
  }, 120_000);

  it('a data folder that cannot be made', async () => {
    expect(await refused({ AVIARY_DATA_DIR: '/proc/aviary' })).toEqual({
      code: 8,
      refusals: [expect.stringMatching(/The data folder \/proc\/aviary cannot be made/)],
    });
  }, 120_000);

  describe('with a file system of its own for the data', () => {
    const mounted = async (options: string, work: () => Promise<void>): Promise<void> => {
      await mkdir(dataDir, { recursive: true });
      await sh('mount', '-t', 'tmpfs', '-o', options, 'tmpfs', dataDir);
      try {
        await work();
      } finally {
        await sh('umount', '-l', dataDir);
      }
    };

    it('that is too small', async () => {
      await mounted('size=64m', async () => {
        expect(await refused({})).toEqual({
          code: 8,
          refusals: [expect.stringMatching(/Only 0\.1 GiB are free for the data folder .*; 8\.0 GiB are needed/)],
        });
        expect(await readdir(dataDir)).toEqual([]);
      });
    }, 120_000);

    it('that takes nothing', async () => {
      await mounted('ro,size=12g', async () => {
        expect(await refused({})).toEqual({
          code: 8,
          refusals: [expect.stringMatching(/Nothing can be written to the data folder .* \(EROFS\)/)],
        });
      });
    }, 120_000);
  });

  it('a clock that was put back behind the certificates', async () => {
    const later = new Date(Date.now() + 40 * 86_400_000);
    const { certificate } = await issueLeaf(
      await createAuthority(['aviary.localhost'], later),
      ['aviary.localhost'],
      later,
    );
    await mkdir(join(dataDir, 'certs'), { recursive: true });
    await writeFile(join(dataDir, 'certs/portal.crt'), certificate);
    try {
      expect(await refused({})).toEqual({
        code: 8,
        refusals: [expect.stringMatching(/clock reads .*, before this platform's certificates were made/)],
      });
      expect(await readdir(dataDir)).toEqual(['certs']);
    } finally {
      await rm(dataDir, { recursive: true });
    }
  }, 120_000);
});
