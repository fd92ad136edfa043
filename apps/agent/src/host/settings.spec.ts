import { chmod, mkdtemp, open, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseEnvFile } from './env-file.js';
import { generated, saveEnv, settle } from './settings.js';

it('generates every secret once and derives public keys from their seeds', () => {
  const first = new Map(generated(new Map()).map(({ name, value }) => [name, value]));
  expect(Buffer.from(first.get('AVIARY_MASTER_KEY') ?? '', 'base64')).toHaveLength(32);
  const again = new Map(generated(first).map(({ name, value }) => [name, value]));
  expect(again).toEqual(first);
  const other = new Map(generated(new Map()).map(({ name, value }) => [name, value]));
  for (const [name, value] of first) {
    expect(other.get(name)).not.toBe(value);
  }
  const moved = new Map(
    generated(new Map([['AVIARY_GATE_SEED', other.get('AVIARY_GATE_SEED') ?? '']])).map((e) => [e.name, e.value]),
  );
  expect(moved.get('AVIARY_GATE_PUBLIC_KEY')).toBe(other.get('AVIARY_GATE_PUBLIC_KEY'));
});

it('takes settings from the environment on the first run and refuses a contradiction later', () => {
  const { config, entries } = settle('', { AVIARY_HTTPS_PORT: '8443' });
  expect(config.HTTPS_PORT).toBe(8443);
  const text = entries.map(({ name, value }) => `${name}=${value}`).join('\n');
  expect(parseEnvFile(text).get('AVIARY_HTTPS_PORT')).toBe('8443');
  expect(() => settle(text, { AVIARY_HTTPS_PORT: '9443' })).toThrow('AVIARY_HTTPS_PORT is set differently in .env');
  expect(settle(text, { AVIARY_HTTPS_PORT: '8443' }).config.HTTPS_PORT).toBe(8443);
});

it('names a wrong setting in one sentence', () => {
  expect(() => settle('AVIARY_PORTAL_DOMAIN=not a host\n', {})).toThrow(/AVIARY_PORTAL_DOMAIN must be a host name/);
});

it.each([
  ['AVIARY_HTTP_PORT', '443', /must differ/],
  ['AVIARY_TLS_MODE', 'acme', /AVIARY_ACME_EMAIL/],
  ['AVIARY_ADDRESS_POOL', '10.128.0.0/24', /between \/8 and \/17/],
])('refuses %s=%s', (name, value, sentence) => {
  expect(() => settle('', { [name]: value })).toThrow(sentence);
});

describe('.env', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aviary-env-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('is never seen half written: whoever has it open keeps the old text whole', async () => {
    const envFile = join(folder, '.env');
    await writeFile(envFile, 'AVIARY_MASTER_KEY=old\n');
    await chmod(envFile, 0o644);
    const reader = await open(envFile, 'r');
    expect(await saveEnv({ envFile, envText: 'AVIARY_MASTER_KEY=new\n' })).toBe(true);
    expect(await reader.readFile('utf8')).toBe('AVIARY_MASTER_KEY=old\n');
    await reader.close();
    expect(await readFile(envFile, 'utf8')).toBe('AVIARY_MASTER_KEY=new\n');
    expect((await stat(envFile)).mode & 0o777).toBe(0o600);
    expect(await readdir(folder)).toEqual(['.env']);
    expect(await saveEnv({ envFile, envText: 'AVIARY_MASTER_KEY=new\n' })).toBe(false);
  });

  it('may be a link to where a person keeps it', async () => {
    await writeFile(join(folder, 'kept'), 'A=1\n');
    await symlink('kept', join(folder, '.env'));
    await saveEnv({ envFile: join(folder, '.env'), envText: 'A=1\nB=2\n' });
    expect(await readFile(join(folder, 'kept'), 'utf8')).toBe('A=1\nB=2\n');
  });
});
