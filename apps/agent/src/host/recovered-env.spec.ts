import { parseEnvFile } from './env-file.js';
import { recoveredEnv } from './recovered-env.js';
import { settle } from './settings.js';

const platform = '0190a000-0000-4000-8000-000000000001';
const settings = {
  AVIARY_PLATFORM_ID: platform,
  AVIARY_PORTAL_DOMAIN: 'portal.example.org',
  AVIARY_BACKUP_URL: '/mnt/of-the-lost-host',
  AVIARY_TIME_ZONE: 'Europe/Berlin',
  AVIARY_PUBLIC_ADDRESSES: '192.0.2.7',
};
const recovered = (before: string): Map<string, string> =>
  parseEnvFile(recoveredEnv(before, { platform, settings }, settle(before, {}).config));

it('keeps what a person wrote, adds what the lost host had, and the places of this machine', () => {
  const values = recovered('AVIARY_MASTER_KEY=abc\nAVIARY_BACKUP_URL=/restored\nAVIARY_TIME_ZONE=UTC\n');
  expect(Object.fromEntries(values)).toMatchObject({
    AVIARY_MASTER_KEY: 'abc',
    AVIARY_BACKUP_URL: '/restored',
    AVIARY_TIME_ZONE: 'UTC',
    AVIARY_PORTAL_DOMAIN: 'portal.example.org',
    AVIARY_PLATFORM_ID: platform,
    AVIARY_DATA_DIR: '/var/lib/aviary',
  });
  // Where the repositories were found is where they go on to be.
  expect(recovered('').get('AVIARY_BACKUP_URL')).toBe('');
  // Nothing leads to this machine at the addresses of the lost one.
  expect(recovered('').get('AVIARY_PUBLIC_ADDRESSES')).toBe('');
  expect(recovered('AVIARY_PUBLIC_ADDRESSES=192.0.2.9\n').get('AVIARY_PUBLIC_ADDRESSES')).toBe('192.0.2.9');
  // Again it adds nothing.
  const once = recoveredEnv('', { platform, settings }, settle('', {}).config);
  expect(recoveredEnv(once, { platform, settings }, settle(once, {}).config)).toBe(once);
});

it('refuses a machine that is another platform’s', () => {
  expect(() => recovered('AVIARY_PLATFORM_ID=0190a000-0000-4000-8000-000000000002\n')).toThrow('Nothing was changed');
});
