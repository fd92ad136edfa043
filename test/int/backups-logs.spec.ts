import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { Readable } from 'node:stream';
import { byCommand } from '#libs/engine';
import { BackupEntity, OperationEntity } from '#libs/db';
import { aviary, document, environment } from '../support/cli.js';
import { ExportWorld, PASSPHRASE } from '../support/export-world.js';
import { openArchive } from '../support/opened-archive.js';

jest.setTimeout(120_000);

const LINES = ['{"msg":"first"}', '{"msg":"grüße"}'];

let world: ExportWorld;
let stack: Awaited<ReturnType<ExportWorld['stack']>>;

beforeAll(async () => {
  world = await ExportWorld.start();
  // What each service says at its start.
  world.world.world.engine.behaviour = (context) => {
    const process = byCommand(context);
    return {
      ...process,
      start: (started) => {
        // All but Redis, which has nothing to say.
        if (!started.name.endsWith('-redis')) {
          started.log(...LINES);
        }
        process.start?.(started);
      },
    };
  };
  stack = await world.stack();
});
afterAll(() => world.close());

const db = () => world.world.world.database.dataSource.manager;
const backups = () => world.world.world.backups;
const operator = () => world.world.world.operator();

/** Asks for one and works on it. */
async function taken(body: { logs?: boolean } = {}): Promise<BackupEntity> {
  const { operation } = await backups().take(await operator(), stack.slug, body);
  expect(await world.world.run(operation.id, stack.id)).toMatchObject({ state: 'done', error: null });
  return db().findOneByOrFail(BackupEntity, { operationId: operation.id });
}
const names = ({ parts }: BackupEntity): string[] => parts.map(({ name }) => name);

it('has what each service logged last where that was asked for, proven like the rest, and its view says so', async () => {
  const without = await taken();
  expect(names(without)).not.toContain('runtime.log');
  const with_ = await taken({ logs: true });
  expect(with_).toMatchObject({
    state: 'verified',
    manifest: { logs: expect.arrayContaining([expect.objectContaining({ service: 'runtime', part: 'runtime.log' })]) },
  });
  expect(names(with_).toSorted()).toEqual(['manifest.json', 'postgres.dump', 'postgres.log', 'runtime.log']);
  const { items } = await backups().list(await operator(), stack.slug);
  expect(items.slice(0, 2).map(({ id, logs }) => [id, logs])).toEqual([
    [with_.id, true],
    [without.id, false],
  ]);
});

it('is downloaded with them, and a restore leaves them alone', async () => {
  const backup = await taken({ logs: true });
  const answer = await world.get(await world.ticket({ slug: stack.slug, backup: backup.id }));
  expect(answer.status).toBe(200);
  const folder = await mkdtemp(join(world.world.home, 'logs-'));
  const file = join(folder, 'mine.age');
  await writeFile(file, await buffer(Readable.fromWeb(answer.body as never)));
  const opened = join(folder, 'opened');
  expect((await openArchive(file, PASSPHRASE, opened)).code).toBe(0);
  expect(await readFile(join(opened, 'runtime.log'), 'utf8')).toBe(`${LINES.join('\n')}\n`);
  expect(await readFile(join(opened, 'README.txt'), 'utf8')).toMatch(/^runtime\.log +what runtime logged last$/m);
  expect(await readFile(join(opened, 'SHA256SUMS'), 'utf8')).toContain('  runtime.log\n');

  await world.world.databases.sql(stack.postgres, 'delete from fills');
  const asked = await world.world.ask(stack, 'restore', { backup: backup.id });
  expect(await world.world.run(asked, stack.id)).toMatchObject({ state: 'done', error: null });
  expect(await world.world.countOf(stack)).toBe(1_000);
});

it('is asked for by the API and the command line alike', async () => {
  const post = (body?: object) =>
    world.t.http.post(`/api/v1/stacks/${stack.slug}/backups`).set(world.owner.auth).send(body);
  await post({ logs: 'yes' }).expect(400);
  await post({ log: true }).expect(400);
  const inputOf = async (id: string) => (await db().findOneByOrFail(OperationEntity, { id })).input;
  for (const [body, input] of [
    [{ logs: true }, { reason: 'manual', logs: true }],
    [{}, { reason: 'manual' }],
    [undefined, { reason: 'manual' }],
  ] as const) {
    const { operation } = (await post(body).expect(202)).body as { operation: { id: string } };
    expect(await inputOf(operation.id)).toEqual(input);
    expect(await world.world.run(operation.id, stack.id)).toMatchObject({ state: 'done' });
  }
  const env = environment(world.world.world.database);
  const ran = document(await aviary(env, ['backup', 'take', stack.slug, '--with-logs', '--detach', '--json']));
  expect(await inputOf((ran.data as { id: string }).id)).toEqual({ reason: 'manual', logs: true });
});
