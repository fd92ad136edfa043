import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ReleaseView } from '#libs/contracts';
import { ReleaseEntity } from '#libs/db';
import { aviary, document, environment } from '../support/cli.js';
import { hostScript, type HostScript } from '../support/host-script.js';
import { answeringImages } from '../support/image-answers.js';
import { stackWorld, type StackWorld } from '../support/stack-world.js';

// Several test files and an engine may share two cores.
jest.setTimeout(120_000);

const NEXT = 'example.org/runtime:next';

let home: string;
let world: StackWorld;
let env: Record<string, string>;
let script: HostScript;
let stopAnswering: () => void;
let first: ReleaseEntity;
let notes: string;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'aviary-cli-releases-'));
  world = await stackWorld();
  await world.operator();
  const socket = join(home, 'agent.sock');
  stopAnswering = await answeringImages(socket, world.engine);
  world.engine.addImage(NEXT);
  env = { ...environment(world.database), AVIARY_AGENT_SOCKET: socket };
  script = await hostScript(home, env);
  [first] = (await world.database.dataSource.manager.find(ReleaseEntity)) as [ReleaseEntity];
  notes = join(home, 'notes.txt');
  await writeFile(notes, 'Grids start faster.\n– 世界\n');
});
afterAll(async () => {
  stopAnswering();
  await world.close();
  await rm(home, { recursive: true, force: true });
});

const making = (...flags: string[]): string[] => ['release', 'make', '--like', first.id, ...flags];
const made = async (ran: ReturnType<typeof aviary>): Promise<ReleaseView> => {
  const told = document(await ran);
  expect(told).toMatchObject({ ok: true, exit: 0, schema: 'aviary/release/1' });
  return told.data as ReleaseView;
};

it('makes a draft, says what it is, and what comes next; the list goes on saying so until a person has decided', async () => {
  const ran = await aviary(
    env,
    making(
      '--version',
      '0.2.0',
      '--image',
      `runtime=${NEXT}`,
      '--notes-file',
      notes,
      '--requires',
      'Stacks1763700000002',
    ),
  );
  const [id = ''] = ran.stdout.split('\n');
  expect([ran.code, id]).toEqual([0, expect.stringMatching(/^standard@0\.2\.0\+[0-9a-f]{8}$/)]);
  expect(ran.stdout).toContain('state      draft\n');
  expect(ran.stdout).toContain('requires   Stacks1763700000002\n');
  expect(ran.stdout).toContain('notes      Grids start faster.\n           – 世界\n');
  expect(ran.stdout).toContain(`next: aviary release offer ${id}\n`);
  expect((await aviary(env, ['release', 'show', id])).stdout).toContain('database   PostgreSQL 17\n');
  const listed = await aviary(env, ['release', 'list']);
  expect(listed.stdout).toMatch(new RegExp(`^standard@0\\.2\\.0\\S+ +draft .*Grids start faster\\. …$`, 'm'));
  expect(listed.stderr).toContain(`${id} waits as a draft: aviary release offer ${id}`);
  expect((await aviary(env, ['release', 'offer', id])).code).toBe(0);
  expect((await aviary(env, ['release', 'list'])).stderr).toContain(
    `${id} waits as a candidate: aviary release promote ${id}`,
  );
  expect((await aviary(env, ['release', 'promote', id])).code).toBe(0);
  expect((await aviary(env, ['release', 'list'])).stderr).not.toContain('waits');
});

it('pins images to what the engine has, and keeps those that are not named', async () => {
  const release = await made(aviary(env, making('--version', '0.3.0', '--image', `runtime=${NEXT}`, '--json')));
  const next = await world.engine.imageId(NEXT, { deadlineMs: 1_000 });
  expect(release).toMatchObject({
    state: 'draft',
    images: { ...first.images, runtime: next },
    notes: '',
    requires: [],
  });
  const other = await made(
    aviary(env, making('--version', '0.3.1', '--database-major', '18', '--notes', 'Carried.', '--json')),
  );
  expect(other).toMatchObject({ images: first.images, databaseMajor: 18, notes: 'Carried.' });
});

it.each([
  [
    'an image that is not there',
    ['--version', '0.4.0', '--image', 'runtime=nowhere:1'],
    { exit: 1, code: 'IMAGE_MISSING', says: 'nowhere:1' },
  ],
  [
    'a version that is taken',
    ['--version', '0.3.0'],
    { exit: 5, code: 'WRONG_STATE', says: 'has a release 0.3.0 already' },
  ],
  [
    'a version that is none',
    ['--version', 'next'],
    { exit: 2, code: 'VALIDATION_FAILED', says: 'version: must be three numbers' },
  ],
  [
    'a bad reference',
    ['--version', '0.4.0', '--image', 'runtime=a b'],
    { exit: 2, code: 'VALIDATION_FAILED', says: 'images runtime: must' },
  ],
  [
    'an image of nothing',
    ['--version', '0.4.0', '--image', NEXT],
    { exit: 2, code: 'VALIDATION_FAILED', says: 'a service and an image' },
  ],
  [
    'a service there is none of',
    ['--version', '0.4.0', '--image', `web=${NEXT}`],
    { exit: 2, code: 'VALIDATION_FAILED', says: 'no service web' },
  ],
  [
    'a file that is not there',
    ['--version', '0.4.0', '--notes-file', '/nowhere'],
    { exit: 2, code: 'VALIDATION_FAILED', says: 'cannot be read' },
  ],
  [
    'a migration that is none',
    ['--version', '0.4.0', '--requires', 'latest'],
    { exit: 2, code: 'VALIDATION_FAILED', says: 'requires 0: must' },
  ],
])('makes nothing of %s, and says why', async (_what, flags, { exit, code, says }) => {
  const ran = await aviary(env, making(...flags, '--json'));
  expect(document(ran)).toMatchObject({
    ok: false,
    exit,
    error: { code, message: expect.stringContaining(says) as string },
  });
  expect(document(await aviary(env, ['release', 'list', '--json'])).data).not.toMatchObject({
    items: expect.arrayContaining([expect.objectContaining({ version: '0.4.0' })]) as unknown,
  });
});

it('makes nothing like a release there is none of, nor while the agent is away', async () => {
  const none = await aviary(env, ['release', 'make', '--like', 'standard@9+0', '--version', '0.4.0']);
  expect([none.code, none.stderr]).toEqual([3, expect.stringContaining('There is no release standard@9+0')]);
  const away = { ...env, AVIARY_AGENT_SOCKET: join(home, 'nobody.sock') };
  const ran = await aviary(away, making('--version', '0.4.0', '--image', `runtime=${NEXT}`));
  expect([ran.code, ran.stderr]).toEqual([9, expect.stringContaining('agent does not answer')]);
});

it('writes notes, and prints them', async () => {
  const { id } = await made(aviary(env, making('--version', '0.5.0', '--json')));
  expect((await aviary(env, ['release', 'notes', id, '--set', 'Faster.'])).code).toBe(0);
  expect((await aviary(env, ['release', 'notes', id])).stdout).toBe('Faster.\n');
  expect((await aviary(env, ['release', 'notes', id, '--notes-file', '-'], 'Slower,\nbut surely.\n')).code).toBe(0);
  expect((await aviary(env, ['release', 'notes', id])).stdout).toBe('Slower,\nbut surely.\n');
  const both = await aviary(env, ['release', 'notes', id, '--set', 'a', '--notes-file', notes]);
  expect([both.code, both.stderr]).toEqual([2, expect.stringContaining('Give the notes once')]);
  const long = await aviary(env, ['release', 'notes', id, '--notes-file', '-'], 'x'.repeat(100_000));
  expect([long.code, long.stderr]).toEqual([2, expect.stringContaining('more than')]);
  expect((await aviary(env, ['release', 'notes', 'standard@9+0', '--set', 'a'])).code).toBe(3);
});

describe('scripts/aviary, which runs it in a container without the host’s files', () => {
  it('gives it the notes of a file of the host', async () => {
    const { id } = await made(script.run(making('--version', '0.6.0', '--notes-file', notes, '--json')));
    expect((await script.run(['release', 'notes', id])).stdout).toBe('Grids start faster.\n– 世界\n');
    await writeFile(join(home, 'other notes'), 'Other.\n');
    const ran = await script.run(['release', 'notes', id, `--notes-file=${join(home, 'other notes')}`]);
    expect(ran).toMatchObject({ code: 0, stderr: '' });
    expect((await script.run(['release', 'notes', id])).stdout).toBe('Other.\n');
    expect((await script.run(['release', 'notes', id, '--notes-file', '-'], 'By pipe.')).code).toBe(0);
    expect((await script.run(['release', 'notes', id])).stdout).toBe('By pipe.\n');
  });

  it('says in the usual form that a file is not there', async () => {
    const ran = await script.run(making('--version', '0.7.0', '--notes-file', '/nowhere', '--json'));
    expect(document(ran)).toMatchObject({ ok: false, exit: 2, schema: 'aviary/release/1' });
    expect((await script.run(['release', 'notes', 'x', '--notes-file', '/nowhere'])).code).toBe(2);
  });
});
