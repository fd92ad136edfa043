import { parseEnvFile } from './env-file.js';
import { generated, settle } from './settings.js';

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
