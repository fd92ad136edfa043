import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lacking, perhapsLacking, requireGiven } from './recover-needs.js';

const SMTP = 'AVIARY_SMTP_URL=smtp://post@mail.example.org:25\n';
const secrets = ['AVIARY_SMTP_URL', 'AVIARY_HEARTBEAT_URL'];

it('names each secret that the lost host had and .env has not', async () => {
  expect(await lacking({ secrets }, '')).toEqual(secrets);
  expect(await lacking({ secrets }, `${SMTP}AVIARY_HEARTBEAT_URL=\n`)).toEqual(['AVIARY_HEARTBEAT_URL']);
  expect(await lacking({ secrets }, SMTP, { AVIARY_HEARTBEAT_URL: 'https://watchdog.example.org' })).toEqual([]);
  expect(await lacking({ secrets: [] }, '')).toEqual([]);
  // One of before they were noted says nothing.
  expect(await lacking({ secrets: undefined }, '')).toEqual([]);
  expect(perhapsLacking({ secrets: undefined }, SMTP)).toEqual(['AVIARY_HEARTBEAT_URL']);
  expect(perhapsLacking({ secrets: [] }, '')).toEqual([]);
});

it('names the files of certificates that the data folder has not', async () => {
  const data = await mkdtemp(join(tmpdir(), 'aviary-needs-'));
  try {
    const env = (mode: string): string => `AVIARY_DATA_DIR=${data}\nAVIARY_TLS_MODE=${mode}\n`;
    expect(await lacking({ secrets: [] }, env('acme'))).toEqual(['acme/provider.env']);
    expect(await lacking({ secrets: [] }, env('local'))).toEqual([]);
    await mkdir(join(data, 'certs'));
    await writeFile(join(data, 'certs/supplied-portal.crt'), 'x');
    expect(await lacking({ secrets: [] }, env('files'))).toEqual(['certs/supplied-portal.key']);
  } finally {
    await rm(data, { recursive: true });
  }
});

it('goes on without what is left out by name, and without nothing else', () => {
  expect(() => requireGiven(['AVIARY_SMTP_URL'], ['AVIARY_SMTP_URL'], '/d')).not.toThrow();
  expect(() => requireGiven(['AVIARY_SMTP_URL', 'acme/provider.env'], ['AVIARY_SMTP_URL'], '/d')).toThrow(
    '/d/acme/provider.env. Nothing was changed. Give them, or go on without: --without=acme/provider.env',
  );
});
