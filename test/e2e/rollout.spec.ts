import { waitFor } from '#libs/async';
import type { Alarm, RolloutPlan, RolloutReport, RolloutView } from '#libs/contracts';
import { docker, testImage } from '../support/engine.js';
import { anotherRelease, endsAtOnceIn, sameAgain } from '../support/releases.js';
import { PlatformWorld, SOON, type RunningStack } from './platform/world.js';

jest.setTimeout(1_800_000);

/** All of them go to a release that works. */
const FEW = 6;
/** As many are promised to be safe from one that does not. */
const STACKS = 30;
const MADE_AT_ONCE = 3;

let world: PlatformWorld;
let stacks: RunningStack[];
let first: string;
let works: string;
const made: string[] = [];

const cli = async <T>(...args: string[]): Promise<{ code: number; data: T }> => {
  const { code, document } = await world.platform.cli<T>(...args);
  return { code, data: document.data };
};
const releases = async (): Promise<Record<string, string>> =>
  Object.fromEntries(
    (await world.platform.sql('select slug, release_id from tenants')).split('\n').map((row) => row.split('|')),
  ) as Record<string, string>;
const startedAt = (slug: string): Promise<string> =>
  docker('inspect', '-f', '{{.State.StartedAt}} {{.Image}}', world.platform.service(slug, 'runtime'));

/** Until there are as many stacks. */
async function make(count: number): Promise<void> {
  while (stacks.length < count) {
    const more = Math.min(MADE_AT_ONCE, count - stacks.length);
    stacks.push(...(await Promise.all(Array.from({ length: more }, () => world.runningStack()))));
  }
}

/** Follows a rollout to its end or halt, with a short soak. */
const rollOut = (release: string, ...flags: string[]) =>
  cli<RolloutView>('rollout', 'start', release, `--confirm=${release}`, '--soak', '3', '--timeout', '1500', ...flags);

/** A stable release, and who would go to it in which ring. */
async function stable(version: string, like: string): Promise<{ id: string; rings: string[][] }> {
  const image = await sameAgain(testImage('runtime'), version);
  made.push(image);
  const id = await anotherRelease(world.platform, { version, like, image });
  expect((await cli('release', 'promote', id)).code).toBe(0);
  const { data } = await cli<RolloutPlan>('rollout', 'plan', id);
  expect(data.skipped).toEqual([]);
  return { id, rings: data.rings.map((ring) => ring.stacks) };
}

beforeAll(async () => {
  world = await PlatformWorld.open();
  stacks = [];
  await make(FEW);
  first = await world.platform.sql('select distinct release_id from tenants');
}, 1_200_000);
afterAll(async () => {
  await world?.platform.stop();
  for (const image of made) {
    await docker('rmi', image);
  }
}, 300_000);

it('brings everybody to a release that works, and nothing of it is open', async () => {
  const good = await stable('9.0.1', first);
  expect(good.rings.flat().toSorted()).toEqual(stacks.map(({ slug }) => slug).toSorted());
  const { code, data: done } = await rollOut(good.id);
  expect({ code, state: done.state, counts: done.counts }).toMatchObject({
    code: 0,
    state: 'done',
    counts: { total: FEW, done: FEW },
  });
  expect(new Set(Object.values(await releases()))).toEqual(new Set([good.id]));
  for (const stack of stacks) {
    await world.served(stack);
  }
  works = good.id;
  expect(await world.platform.sql(`select count(*) from operations where state in ('queued', 'running')`)).toBe('0');
});

it('halts on a release that breaks on some of 30 stacks: those are back on the old one, the rest untouched', async () => {
  await make(STACKS);
  const bad = await stable('9.0.2', works);
  const [canary = [], wave = [], last = []] = bad.rings;
  expect([canary.length, wave.length, last.length]).toEqual([2, 6, 22]);
  const broken = wave.slice(0, 2);
  const image = await endsAtOnceIn(broken, testImage('runtime'));
  made.push(image);
  await world.platform.sql(
    `update releases set images = jsonb_set(images, '{runtime}', to_jsonb('${image}'::text)) where id = '${bad.id}'`,
  );
  const before = await Promise.all(last.map(startedAt));
  const { code, data: halted } = await rollOut(bad.id, '--concurrency', '2');
  expect({ code, state: halted.state, cause: halted.cause }).toEqual({ code: 1, state: 'halted', cause: 'budget' });
  const on = await releases();
  const upgraded = Object.keys(on).filter((slug) => on[slug] === bad.id);
  expect(upgraded).toEqual(expect.arrayContaining(canary));
  expect(upgraded.filter((slug) => broken.includes(slug) || last.includes(slug))).toEqual([]);
  expect(Object.values(on).filter((id) => id === works)).toHaveLength(STACKS - upgraded.length);
  // Every one of them serves, whichever release it is on.
  for (const stack of stacks) {
    await world.served(stack);
  }
  expect(await Promise.all(last.map(startedAt))).toEqual(before);
  const { data: report } = await cli<RolloutReport>('rollout', 'report', halted.id);
  const became = Object.fromEntries(report.items.map(({ slug, state }) => [slug, state]));
  expect(broken.map((slug) => became[slug])).toContain('rolled_back');
  expect(became).toEqual({
    ...Object.fromEntries(last.map((slug) => [slug, 'waiting'])),
    // One whose backup was still being taken when another failed is not begun any more.
    ...Object.fromEntries(wave.map((slug) => [slug, expect.stringMatching(/^(rolled_back|waiting)$/)])),
    ...Object.fromEntries(upgraded.map((slug) => [slug, 'done'])),
  });
  const upgrades = await world.platform.sql(
    `select slug from operations where kind = 'upgrade' and input ->> 'to' = '${bad.id}'`,
  );
  expect(upgrades.split('\n').filter((slug) => last.includes(slug))).toEqual([]);
  for (const { slug, outageMs } of report.items.filter(({ state }) => state !== 'waiting')) {
    expect([slug, (outageMs ?? 0) > 0]).toEqual([slug, true]);
  }
  await waitFor(
    async () => {
      const { data } = await cli<{ items: Alarm[] }>('alarm', 'list');
      return data.items.find(({ key, endedAt }) => key === `rollout/${halted.id}` && endedAt === null);
    },
    { what: 'the alarm', intervalMs: 2_000, ...SOON },
  );
  expect((await cli('rollout', 'abort', halted.id, `--confirm=${bad.id}`)).code).toBe(0);
});
