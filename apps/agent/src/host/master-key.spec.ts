import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isKeptElsewhere, keyEnvironment, missingKeyFiles, ownKeyFiles } from './master-key.js';
import { PORTAL } from './portal-user.js';
import { generated, readPlatform, settle } from './settings.js';

const asRoot = process.getuid?.() === 0 ? it : it.skip;
const KEY = Buffer.alloc(32, 7).toString('base64');
const FOLDER = '/var/lib/aviary/keys';

it('the agent is told where its key is: in what `.env` says, in a file of the folder of keys, or behind a command', () => {
  const told = (env: string): Record<string, string> => keyEnvironment(settle(env, {}).config);
  expect(told(`AVIARY_MASTER_KEY=${KEY}\n`)).toEqual({
    AVIARY_MASTER_KEY_FILE: '/run/secrets/master-key',
    AVIARY_MASTER_KEY_COMMAND: '',
    AVIARY_NEXT_MASTER_KEY_FILE: '/run/secrets/next-master-key',
    AVIARY_NEXT_MASTER_KEY_COMMAND: '',
  });
  expect(
    told(
      `AVIARY_DATA_DIR=/srv/a\nAVIARY_MASTER_KEY_FILE=/srv/a/keys/2026/one\nAVIARY_NEXT_MASTER_KEY_COMMAND="unwrap --of two"\n`,
    ),
  ).toEqual({
    AVIARY_MASTER_KEY_FILE: `${FOLDER}/2026/one`,
    AVIARY_MASTER_KEY_COMMAND: '',
    AVIARY_NEXT_MASTER_KEY_FILE: '/run/secrets/next-master-key',
    AVIARY_NEXT_MASTER_KEY_COMMAND: 'unwrap --of two',
  });
});

it.each([
  [`AVIARY_MASTER_KEY=${KEY}\nAVIARY_MASTER_KEY_FILE=${FOLDER}/a\n`, /^Of AVIARY_MASTER_KEY, .* only one may be set/],
  [`AVIARY_MASTER_KEY_FILE=${FOLDER}/a\nAVIARY_MASTER_KEY_COMMAND=unwrap\n`, /only one may be set/],
  [`AVIARY_NEXT_MASTER_KEY=${KEY}\nAVIARY_NEXT_MASTER_KEY_COMMAND=unwrap\n`, /^Of AVIARY_NEXT_MASTER_KEY, /],
  [`AVIARY_MASTER_KEY_FILE=/etc/shadow\n`, /AVIARY_MASTER_KEY_FILE must be a file in \/var\/lib\/aviary\/keys/],
  [`AVIARY_MASTER_KEY_FILE=${FOLDER}/../s3/key-id\n`, /must be a file in/],
  [`AVIARY_MASTER_KEY_FILE=${FOLDER}\n`, /must be a file in/],
])('refuses %j', (env, sentence) => {
  expect(() => settle(env, {})).toThrow(sentence);
});

it('generates a key where none is elsewhere, and never a second one for a platform that is', async () => {
  const names = (elsewhere: boolean): string[] => generated(new Map(), { elsewhere }).map(({ name }) => name);
  expect(names(false)).toContain('AVIARY_MASTER_KEY');
  expect(names(true)).not.toContain('AVIARY_MASTER_KEY');
  expect(isKeptElsewhere(settle('AVIARY_MASTER_KEY_COMMAND=unwrap\n', {}).config)).toBe(true);

  const folder = await mkdtemp(join(tmpdir(), 'aviary-env-'));
  try {
    const id = 'AVIARY_PLATFORM_ID=0190a000-0000-7000-8000-000000000001\n';
    for (const gone of [id, `${id}AVIARY_MASTER_KEY=\n`]) {
      await writeFile(join(folder, '.env'), gone);
      await expect(readPlatform(folder)).rejects.toThrow('AVIARY_MASTER_KEY is gone from .env');
    }
    await writeFile(join(folder, '.env'), `${id}AVIARY_MASTER_KEY=\nAVIARY_MASTER_KEY_FILE=${FOLDER}/a\n`);
    expect((await readPlatform(folder)).values.get('AVIARY_MASTER_KEY')).toBe('');
  } finally {
    await rm(folder, { recursive: true });
  }
});

asRoot('its files become the agent’s alone, and one that is not there is named', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'aviary-keys-'));
  try {
    await mkdir(join(folder, 'keys', '2026'), { recursive: true });
    const one = join(folder, 'keys', '2026', 'one');
    const { config } = settle(`AVIARY_DATA_DIR=${folder}\nAVIARY_MASTER_KEY_FILE=${one}\n`, {});
    expect(await missingKeyFiles(config)).toEqual([`${one} is missing or empty, which AVIARY_MASTER_KEY_FILE names.`]);
    await writeFile(one, `${KEY}\n`, { mode: 0o644 });
    expect(await missingKeyFiles(config)).toEqual([]);
    await ownKeyFiles(config);
    expect(await stat(one)).toMatchObject({ uid: PORTAL, gid: PORTAL, mode: 0o100400 });
    expect(await stat(join(folder, 'keys', '2026'))).toMatchObject({ uid: PORTAL, mode: 0o40500 });
  } finally {
    await rm(folder, { recursive: true });
  }
});
