import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { appendMissing, parseEnvFile } from './env-file.js';
import { BASE_ENV } from './run-command.js';

it('reads names, quotes and values with equals signs, and skips the rest', () => {
  const text = '# note\nA=1\n B = \'x y\'\nexport C="k=="\nnot a line\nD=\n';
  expect([...parseEnvFile(text)]).toEqual([
    ['A', '1'],
    ['B', 'x y'],
    ['C', 'k=='],
    ['D', ''],
  ]);
});

it('adds what is missing and keeps every character that was there', () => {
  const text = '# mine\nA=1';
  const after = appendMissing(text, [
    { name: 'A', value: '2' },
    { name: 'B', value: 'x', comment: 'why' },
  ]);
  expect(after).toBe('# mine\nA=1\n# why\nB=x\n');
  expect(appendMissing(after, [{ name: 'B', value: 'y' }])).toBe(after);
});

it.each([
  'AVIARY_DATA_DIR=/srv/one',
  'AVIARY_DATA_DIR="/srv/two"',
  "  export  AVIARY_DATA_DIR = '/srv/three'  ",
  'AVIARY_DATA_DIR=/srv/four\r',
  'AVIARY_DATA_DIR=/srv/first\nAVIARY_DATA_DIR="/srv/last"',
  `AVIARY_DATA_DIR="/srv/o'five"`,
  `AVIARY_DATA_DIR='"/srv/six"'`,
  `AVIARY_DATA_DIR="/srv/seven'`,
  '# AVIARY_DATA_DIR=/srv/comment\nAVIARY_DATA_DIR_OTHER=/srv/other\nAVIARY_DATA_DIR=/srv/eight=8 # 8',
])('the scripts read %j as this does', async (text) => {
  const root = await mkdtemp(join(tmpdir(), 'aviary-env-'));
  try {
    await writeFile(join(root, '.env'), `A=1\n${text}\n`);
    const library = resolve('scripts/lib/host.sh');
    const { stdout } = await promisify(execFile)(
      'bash',
      ['-euc', '. "$1"; setting AVIARY_DATA_DIR /default', 'bash', library],
      { env: { ...BASE_ENV, ROOT: root } },
    );
    expect(stdout).toBe(parseEnvFile(text).get('AVIARY_DATA_DIR'));
  } finally {
    await rm(root, { recursive: true });
  }
});
