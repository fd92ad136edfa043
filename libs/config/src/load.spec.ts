import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDomainError } from '#libs/contracts';
import { loadConfig } from './index.js';

const good = {
  AVIARY_PLATFORM_ID: '0190a000-0000-7000-8000-000000000001',
  AVIARY_DATABASE_URL: 'postgres://app:x@127.0.0.1:5432/aviary',
  AVIARY_SIGN_ON_SEED: Buffer.alloc(32, 7).toString('base64'),
};

it('fills defaults, coerces numbers and freezes', () => {
  const config = loadConfig('api', { ...good, AVIARY_HTTPS_PORT: '8443' });
  expect(config.HTTPS_PORT).toBe(8443);
  expect(config.PORTAL_DOMAIN).toBe('aviary.localhost');
  expect(Object.isFrozen(config)).toBe(true);
});

it('names every wrong variable and never its value', () => {
  const env = { ...good, AVIARY_SIGN_ON_SEED: 'c2hvcnQ=', AVIARY_HTTPS_PORT: '99999' };
  let caught: unknown;
  try {
    loadConfig('api', env);
  } catch (error) {
    caught = error;
  }
  expect(isDomainError(caught, 'CONFIG_INVALID')).toBe(true);
  const text = `${String((caught as Error).message)} ${JSON.stringify(caught)}`;
  expect(text).toContain('AVIARY_SIGN_ON_SEED');
  expect(text).toContain('AVIARY_HTTPS_PORT');
  expect(text).not.toContain('c2hvcnQ=');
  expect(text).not.toContain('99999');
});

it('takes a time zone that this machine knows, and no other', () => {
  expect(loadConfig('api', good).TIME_ZONE).toBe('UTC');
  expect(loadConfig('api', { ...good, AVIARY_TIME_ZONE: 'Europe/Berlin' }).TIME_ZONE).toBe('Europe/Berlin');
  expect(() => loadConfig('api', { ...good, AVIARY_TIME_ZONE: 'Berlin' })).toThrow('must be a time zone');
});

it('refuses placeholders in production only', () => {
  const env = { ...good, AVIARY_ENGINE_ID: 'changeme' };
  expect(() => loadConfig('api', env)).toThrow('AVIARY_ENGINE_ID is a placeholder');
  expect(loadConfig('api', { ...env, AVIARY_ENV: 'development' }).ENGINE_ID).toBe('changeme');
});

it('writes addresses as DNS answers them, and takes nothing else for one', () => {
  const addresses = (value: string) => loadConfig('host', { AVIARY_PUBLIC_ADDRESSES: value }).PUBLIC_ADDRESSES;
  expect(addresses(' 192.0.2.1, 2001:DB8:0:0::1 ')).toEqual(['192.0.2.1', '2001:db8::1']);
  expect(addresses('')).toEqual([]);
  expect(() => addresses('portal.example')).toThrow('AVIARY_PUBLIC_ADDRESSES');
});

describe('a secret in a file', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aviary-config-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const { AVIARY_SIGN_ON_SEED: seed, ...others } = good;
  const written = async (content: string): Promise<string> => {
    const path = join(folder, 'seed');
    await writeFile(path, content, { mode: 0o400 });
    return path;
  };

  it.each(['', '\n', '\r\n'])('is read as if it stood in the environment, ended by %j', async (end) => {
    const path = await written(seed + end);
    expect(loadConfig('api', { ...others, AVIARY_SIGN_ON_SEED_FILE: path }).SIGN_ON_SEED).toBe(seed);
  });

  it('that is empty is a setting that is not set', async () => {
    const path = await written('');
    expect(loadConfig('api', { ...good, AVIARY_REDIS_URL_FILE: path }).REDIS_URL).toBe('');
    expect(() => loadConfig('api', { ...others, AVIARY_SIGN_ON_SEED_FILE: path })).toThrow('AVIARY_SIGN_ON_SEED ');
  });

  it('is refused beside the same in the environment, and neither value is told', async () => {
    const path = await written(seed);
    expect(() => loadConfig('api', { ...good, AVIARY_SIGN_ON_SEED_FILE: path })).toThrow(
      'Settings are not valid: AVIARY_SIGN_ON_SEED_FILE is set, and AVIARY_SIGN_ON_SEED too: set one of the two.',
    );
  });

  it('is named by its variable where it is missing or no file, once', () => {
    for (const [path, code] of [
      [join(folder, 'nowhere'), 'ENOENT'],
      [folder, 'EISDIR'],
    ] as const) {
      expect(() => loadConfig('api', { ...others, AVIARY_SIGN_ON_SEED_FILE: path })).toThrow(
        `Settings are not valid: AVIARY_SIGN_ON_SEED_FILE names a file that cannot be read (${code}).`,
      );
    }
  });

  it('is judged like one of the environment, and its content is not told', async () => {
    const path = await written('c2hvcnQ=');
    expect(() => loadConfig('api', { ...others, AVIARY_SIGN_ON_SEED_FILE: path })).toThrow(
      'Settings are not valid: AVIARY_SIGN_ON_SEED must be 32 bytes in base64.',
    );
  });

  it('is all a file is taken for: other settings are read from the environment alone', async () => {
    const path = await written('8443');
    expect(loadConfig('api', { ...good, AVIARY_HTTPS_PORT_FILE: path }).HTTPS_PORT).toBe(443);
  });
});
