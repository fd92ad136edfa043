import type { RolloutPlan, RolloutView } from '#libs/contracts';
import { TenantEntity } from '#libs/db';
import { aviary, document, environment } from '../support/cli.js';
import { RolloutWorld } from '../support/rollout-world.js';

// Several test files and an engine may share two cores.
jest.setTimeout(120_000);

let w: RolloutWorld;
let env: Record<string, string>;

beforeAll(async () => {
  w = await RolloutWorld.open();
  env = environment(w.world.database);
  await w.stacks(4);
  await w.offer('stable');
});
afterAll(() => w.close());

/** The rollout the command has started, as soon as it is there. */
async function begun(): Promise<RolloutView> {
  for (;;) {
    const { items } = await w.world.rollouts.list(w.operator);
    const open = items.find(({ state }) => state === 'planned');
    if (open) {
      return open;
    }
    await new Promise((done) => setImmediate(done));
  }
}

it('plans without doing anything, as people read it and as scripts do', async () => {
  const told = await aviary(env, ['rollout', 'plan', w.second.id, '--canary', '25', '--waves', '50,100']);
  expect([told.code, told.stdout]).toEqual([
    0,
    expect.stringContaining(`${w.second.id}: 4 stacks in 3 rings, 0 left out`),
  ]);
  expect(told.stdout).toMatch(/^canary +1 +u[a-z2-7]{6}$/m);
  const json = document(await aviary(env, ['rollout', 'plan', w.second.id, '--json']));
  expect(json).toMatchObject({ ok: true, schema: 'aviary/rollout-plan/1', data: { skipped: [] } });
  expect((json.data as RolloutPlan).rings.map(({ stacks }) => stacks.length)).toEqual([1, 3]);
  expect(document(await aviary(env, ['rollout', 'list', '--json'])).data).toEqual({ items: [], next: null });
  expect((await aviary(env, ['rollout', 'plan', 'standard@9+00000000'])).code).toBe(3);
  expect((await aviary(env, ['rollout', 'plan', w.first.id])).stdout).toContain(`same: `);
  for (const wrong of [
    ['--waves', '50,25'],
    ['--canary', '0'],
    ['--window', '01:00'],
    ['--concurrency', 'x'],
  ]) {
    expect([wrong, (await aviary(env, ['rollout', 'plan', w.second.id, ...wrong])).code]).toEqual([wrong, 2]);
  }
});

it('starts only with its confirmation, follows it to its halt with 1, and goes on once that is acknowledged', async () => {
  const asked = await aviary(env, ['rollout', 'start', w.second.id]);
  expect([asked.code, asked.stderr]).toEqual([2, expect.stringContaining(`Needs --confirm=${w.second.id}.`)]);
  const plan = document(await aviary(env, ['rollout', 'plan', w.second.id, '--json'])).data as RolloutPlan;
  w.broken.add(plan.rings[0]?.stacks[0] ?? '');
  const running = aviary(env, ['rollout', 'start', w.second.id, `--confirm=${w.second.id}`, '--soak', '0', '--json']);
  const { id } = await begun();
  await w.settle();
  const ran = await running;
  expect(document(ran)).toMatchObject({
    ok: false,
    exit: 1,
    schema: 'aviary/rollout/1',
    data: { id, state: 'halted', counts: { rolledBack: 1, waiting: 3 } },
  });
  const shown = await aviary(env, ['rollout', 'show', id]);
  expect(shown.stdout).toMatch(/^reason +The upgrade to .* failed on 1 stack where none may/m);
  const [, newest = ''] = /^budget +1 failed of 0 that may, the newest at (\S+);/m.exec(shown.stdout) ?? [];
  expect(ran.stdout).toContain(`rollout resume ${id} --acknowledge --failures 1 --newest ${newest}, or`);
  const before = new Date(Date.parse(newest) - 1).toISOString();
  expect((await aviary(env, ['rollout', 'resume', id, '--acknowledge', '--newest', before])).code).toBe(5);
  expect((await aviary(env, ['rollout', 'resume', id, '--acknowledge', '--newest', 'today'])).code).toBe(2);
  const second = await aviary(env, ['rollout', 'start', w.second.id, `--confirm=${w.second.id}`]);
  expect([second.code, second.stderr]).toEqual([5, expect.stringContaining(`The rollout ${id}`)]);
  expect((await aviary(env, ['rollout', 'resume', id])).code).toBe(5);
  expect((await aviary(env, ['rollout', 'resume', id, '--acknowledge', '--newest', newest])).stdout).toContain(
    `✓ ${id} goes on.`,
  );
  const paused = await aviary(env, ['rollout', 'pause', id]);
  expect([paused.code, paused.stdout]).toEqual([0, expect.stringContaining('is paused.')]);
  expect((await aviary(env, ['rollout', 'watch', id, '--timeout', '0.5'])).code).toBe(7);
  expect((await aviary(env, ['rollout', 'resume', id])).code).toBe(0);
  await w.settle();
  // Over, but not all of them are there.
  const over = await aviary(env, ['rollout', 'watch', id]);
  expect([over.code, over.stderr]).toEqual([1, expect.stringContaining('It is over: 3 upgraded, 1 rolled back.')]);
  const report = await aviary(env, ['rollout', 'report', id, '--state', 'rolled_back', '--plain']);
  expect(report.stdout.split('\t').slice(1, 3)).toEqual(['canary', 'rolled_back']);
  expect((await aviary(env, ['rollout', 'show', 'nothing'])).code).toBe(3);
});

it('aborts only with its confirmation, and leaves the rest as it is', async () => {
  await w.world.releases.markFixed(w.operator, w.second.id);
  w.broken.clear();
  const [slug] = (await w.stacks(1)) as [string];
  await w.offer('stable');
  const args = ['rollout', 'start', w.second.id, `--confirm=${w.second.id}`, '--stacks', slug, '--detach'];
  const { id } = document(await aviary(env, [...args, '--json'])).data as RolloutView;
  expect((await aviary(env, ['rollout', 'abort', id])).code).toBe(2);
  const aborted = await aviary(env, ['rollout', 'abort', id, `--confirm=${w.second.id}`, '--json']);
  expect(document(aborted)).toMatchObject({ ok: true, data: { state: 'aborted', counts: { waiting: 1 } } });
  await w.settle();
  expect(await w.releaseOf(slug)).toBe(w.first.id);
});

it('one that is over ends with 0 where a stack was left out on the way, and says so', async () => {
  const [rests = '', goes = ''] = await w.stacks(2);
  await w.offer('stable');
  const flags = [`--confirm=${w.second.id}`, '--stacks', `${rests},${goes}`, '--soak', '0', '--detach', '--json'];
  const { id } = document(await aviary(env, ['rollout', 'start', w.second.id, ...flags])).data as RolloutView;
  await w.db.update(TenantEntity, { slug: rests }, { desired: 'stopped', observed: 'stopped' });
  await w.settle();
  const over = await aviary(env, ['rollout', 'watch', id]);
  expect([over.code, over.stdout]).toEqual([0, expect.stringContaining('1 upgraded, 1 left out')]);
});

it('one that is over ends with 1 where a stack it upgraded does not work', async () => {
  const [slug] = (await w.stacks(1)) as [string];
  await w.offer('stable');
  const flags = [`--confirm=${w.second.id}`, '--stacks', slug, '--soak', '0', '--detach', '--json'];
  const { id } = document(await aviary(env, ['rollout', 'start', w.second.id, ...flags])).data as RolloutView;
  await w.settle();
  expect((await aviary(env, ['rollout', 'watch', id])).code).toBe(0);
  await w.db.update(TenantEntity, { slug }, { observed: 'failed' });
  const over = await aviary(env, ['rollout', 'watch', id]);
  expect([over.code, over.stderr]).toEqual([1, expect.stringContaining('It is over: 1 upgraded, 1 of them unwell.')]);
});
