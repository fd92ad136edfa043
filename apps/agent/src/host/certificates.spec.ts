import { execFile } from 'node:child_process';
import { chmod, chown, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { AUTHORITY_COPY, copyAuthority, ownAcmeFiles, ownCertificates } from './certificates.js';
import { PORTAL } from './portal-user.js';

const execute = promisify(execFile);
const asRoot = process.getuid?.() === 0 ? it : it.skip;

let dataDir: string;
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'aviary-certificates-'));
  await chmod(dataDir, 0o755);
});
afterEach(() => rm(dataDir, { recursive: true }));

describe('the authority browsers are to trust', () => {
  beforeEach(async () => {
    await mkdir(join(dataDir, 'ca'), { mode: 0o700 });
    await writeFile(join(dataDir, 'ca', 'ca.crt'), 'PEM\n');
  });

  asRoot('is read by any user of the host, and its folder by none', async () => {
    await chown(join(dataDir, 'ca'), PORTAL, PORTAL);
    await copyAuthority({ DATA_DIR: dataDir, TLS_MODE: 'local' });
    const asSomebody = (name: string): Promise<string> =>
      execute('setpriv', ['--reuid', '4242', '--regid', '4242', '--clear-groups', 'cat', join(dataDir, name)]).then(
        ({ stdout }) => stdout,
      );
    expect(await asSomebody(AUTHORITY_COPY)).toBe('PEM\n');
    await expect(asSomebody('ca/ca.crt')).rejects.toThrow('Permission denied');
  });

  asRoot('follows its original and goes with it', async () => {
    await copyAuthority({ DATA_DIR: dataDir, TLS_MODE: 'local' });
    await writeFile(join(dataDir, 'ca', 'ca.crt'), 'PEM 2\n');
    await copyAuthority({ DATA_DIR: dataDir, TLS_MODE: 'local' });
    expect(await readFile(join(dataDir, AUTHORITY_COPY), 'utf8')).toBe('PEM 2\n');
    await copyAuthority({ DATA_DIR: dataDir, TLS_MODE: 'files' });
    await expect(stat(join(dataDir, AUTHORITY_COPY))).rejects.toThrow('ENOENT');
  });
});

asRoot('credentials root put down belong to the agent, and to nobody a link leads to', async () => {
  const folder = join(dataDir, 'acme');
  await mkdir(join(folder, 'accounts', 'authority'), { recursive: true });
  await writeFile(join(folder, 'provider.env'), 'TOKEN=x\n', { mode: 0o644 });
  await writeFile(join(folder, 'accounts', 'authority', 'account.key'), 'KEY\n');
  await writeFile(join(dataDir, 'elsewhere'), 'x', { mode: 0o644 });
  await symlink('../elsewhere', join(folder, 'link'));
  await ownAcmeFiles(folder);
  for (const name of ['provider.env', 'accounts/authority/account.key']) {
    const { uid, gid, mode } = await stat(join(folder, name));
    expect({ uid, gid, mode: mode & 0o777 }).toEqual({ uid: PORTAL, gid: PORTAL, mode: 0o600 });
  }
  expect((await stat(join(folder, 'accounts', 'authority'))).uid).toBe(PORTAL);
  const { uid, mode } = await stat(join(dataDir, 'elsewhere'));
  expect({ uid, mode: mode & 0o777 }).toEqual({ uid: 0, mode: 0o644 });
});

asRoot('certificates of owners’ domains stay within the agent’s and the proxy’s reach', async () => {
  const folder = join(dataDir, 'certs');
  await mkdir(join(folder, 'domains'), { recursive: true, mode: 0o755 });
  await writeFile(join(folder, 'domains', 'bot.example.org.key'), 'KEY\n', { mode: 0o600 });
  await ownCertificates(folder, 0o640);
  const { stdout } = await execute('setpriv', [
    '--reuid',
    '4242',
    '--regid',
    String(PORTAL),
    '--clear-groups',
    'cat',
    join(folder, 'domains', 'bot.example.org.key'),
  ]);
  expect(stdout).toBe('KEY\n');
});
