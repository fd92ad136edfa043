import { randomBytes } from 'node:crypto';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { waitFor } from '#libs/async';
import type { BackupList, OperationView } from '#libs/contracts';
import { MasterKey } from '#libs/crypto';
import type { KeyStatus, RotationView } from '#libs/keys';
import { docker } from '../support/engine.js';
import type { Ran } from '../support/platform.js';
import { PlatformWorld, SOON, type RunningStack } from './platform/world.js';

jest.setTimeout(400_000);

let world: PlatformWorld;
let before: RunningStack;
let backup: string;
let old: MasterKey;
const newText = randomBytes(32).toString('base64');
const next = MasterKey.parse(newText, 'the test');

const refusals = ({ stderr }: Ran): string[] => stderr.split('\n').filter((line) => line.startsWith('✗ '));
const agent = (): Promise<string> =>
  docker('inspect', '-f', '{{.Id}} {{.State.StartedAt}}', world.platform.container('agent'));
const status = async (): Promise<{ code: number; data: KeyStatus }> => {
  const { code, document } = await world.platform.cli<KeyStatus>('keys', 'status');
  return { code, data: document.data };
};
const up = async (
  settings: Readonly<Record<string, string>>,
  work: () => Promise<void> = async () => {},
): Promise<void> =>
  world.platform.withSettings(settings, async () => {
    const ran = await world.platform.run('up');
    expect({ code: ran.code, refusals: refusals(ran) }).toEqual({ code: 0, refusals: [] });
    await work();
  });
/** The key lies in a file of the folder of keys, and a script that reads it in the folder of programs. */
const COMMAND = { AVIARY_MASTER_KEY: '', AVIARY_MASTER_KEY_COMMAND: 'unwrap-key /var/lib/aviary/keys/sealed' };

beforeAll(async () => {
  world = await PlatformWorld.open();
  before = await world.runningStack();
  await world.platform.stackSql(before.slug, 'create table kept as select generate_series(1, 100) n');
  expect((await world.platform.cli<OperationView>('backup', 'take', before.slug)).code).toBe(0);
  const { items } = await before.owner.api<BackupList>('GET', `/stacks/${before.slug}/backups`);
  backup = items[0]?.id ?? '';
  const settings = await world.platform.settings();
  old = MasterKey.parse(settings.get('AVIARY_MASTER_KEY') ?? '', 'AVIARY_MASTER_KEY');
}, 400_000);
afterAll(async () => {
  await world?.platform.stop();
}, 200_000);

it('a wrong master key is refused before anything that runs is replaced, and so is none', async () => {
  const runs = await agent();
  for (const [settings, sentence] of [
    [
      { AVIARY_MASTER_KEY: newText },
      `✗ The master key ${next.id} is not the one this platform is sealed with, which is ${old.id}`,
    ],
    [{ AVIARY_MASTER_KEY: '' }, '✗ AVIARY_MASTER_KEY is gone from .env'],
    [
      { AVIARY_MASTER_KEY: '', AVIARY_MASTER_KEY_COMMAND: 'no-such' },
      '✗ AVIARY_MASTER_KEY_COMMAND gave no key: it cannot be run (ENOENT).',
    ],
  ] as const) {
    await world.platform.withSettings(settings, async () => {
      const ran = await world.platform.run('up');
      expect(ran.code).toBe(2);
      expect(refusals(ran)).toEqual([expect.stringContaining(sentence)]);
      expect(ran.stdout + ran.stderr).not.toContain(newText);
    });
  }
  expect(await agent()).toBe(runs);
  // It also starts again with what it has.
  await docker('restart', '-t', '0', world.platform.container('agent'));
  await waitFor(async () => ((await status()).data.agents[0]?.current === old.id ? true : undefined), {
    what: 'the agent with its key',
    ...SOON,
  });
  expect((await world.platform.cli('tenant', 'restart', before.slug)).document).toMatchObject({ ok: true });
});

it('is rotated to one behind a command while stacks are made, over the agent’s death, and then the only one', async () => {
  const { dataDir } = world.platform.facts;
  await mkdir(join(dataDir, 'keys'), { recursive: true });
  await writeFile(join(dataDir, 'keys', 'sealed'), Buffer.from(newText).toString('base64'));
  await writeFile(join(dataDir, 'bin', 'unwrap-key'), '#!/bin/sh\nexec base64 -d "$1"\n');
  await chmod(join(dataDir, 'bin', 'unwrap-key'), 0o755);

  const during: RunningStack[] = [];
  await up({ AVIARY_NEXT_MASTER_KEY_COMMAND: COMMAND.AVIARY_MASTER_KEY_COMMAND }, async () => {
    expect((await status()).data).toMatchObject({ masterKey: old.id, agents: [{ current: old.id, next: next.id }] });
    const asked = await world.platform.cli<RotationView>('keys', 'rotate', '--confirm', next.id, '--detach');
    expect(asked).toMatchObject({ code: 0, document: { data: { from: old.id, to: next.id } } });
    const [made] = await Promise.all([
      world.runningStack(),
      docker('restart', '-t', '0', world.platform.container('agent')),
    ]);
    during.push(made);
    const done = await world.platform.cli<RotationView>('keys', 'rotate');
    expect(done).toMatchObject({ code: 0, document: { data: { left: 0, finishedAt: expect.any(String) as string } } });
    expect((await status()).code).toBe(8);
  });

  await up(COMMAND, async () => {
    expect(await status()).toMatchObject({
      code: 0,
      data: { masterKey: next.id, dataKeys: [{ masterKey: next.id, count: 3 }], lost: [], underMasterKey: [] },
    });
    const stacks = [before, ...during, await world.runningStack()];
    for (const { slug } of stacks) {
      expect((await world.platform.cli('tenant', 'restart', slug)).document).toMatchObject({ ok: true });
    }
    // Its repository's password was sealed while there was the old key only.
    await world.platform.stackSql(before.slug, 'drop table kept');
    const restored = await world.platform.cli('backup', 'restore', before.slug, backup, '--confirm', before.slug);
    expect(restored.document).toMatchObject({ ok: true, error: null });
    expect(await world.platform.stackSql(before.slug, 'select count(*) from kept')).toBe('100');
    await world.served(before);

    const { containers } = await world.platform.objects();
    const shown = await docker('inspect', ...containers);
    const said = await docker('logs', world.platform.container('agent'));
    for (const text of [newText, Buffer.from(newText).toString('base64')]) {
      expect(shown).not.toContain(text);
      expect(said).not.toContain(text);
    }
  });
  // With what was before in `.env` again, it is a wrong key now.
  const ran = await world.platform.run('up');
  expect({ code: ran.code, refusals: refusals(ran) }).toEqual({
    code: 2,
    refusals: [expect.stringContaining(`✗ The master key ${old.id} is not the one`)],
  });
});
