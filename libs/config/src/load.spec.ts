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
