import type { RolloutPlan, RolloutReport, RolloutStack, RolloutView } from '#libs/contracts';
import { testImage } from '../support/engine.js';
import type { TestPlatform } from '../support/platform.js';
import { anotherRelease, endsAtOnceIn, sameAgain } from '../support/releases.js';
import { makeStacks, withOwnPlatform } from './own-platform.js';
import { atMost, median, quantile, round, type BenchResult, type Goal } from './report.js';

interface Options {
  n: number;
  say: (text: string) => void;
}

const SOAK_SECONDS = 5;
const LONGEST_SECONDS = 3_600;
/** In the last ring, where most are: the first of them fail. */
const BROKEN = 2;
const BEYOND_SECONDS = 5;

interface Rolled {
  view: RolloutView;
  stacks: RolloutStack[];
}

/**
 * Brings real stacks to a release that works and then to one that breaks on some, and tells for how long each stack's
 * address led to the waiting page, how long each ring took, and what a release that breaks reached.
 */
export function upgrade({ n, say }: Options): Promise<BenchResult> {
  return withOwnPlatform({}, async ({ platform, customer }): Promise<BenchResult> => {
    const { slugs } = await makeStacks(customer, n, say);
    const first = await platform.sql('select distinct release_id from tenants');
    const good = await stable(platform, '9.0.1', first);
    say(`${slugs.length} stacks go to a release that works`);
    const well = await rollOut(platform, good);
    const beyond = await beyondOwnStart(platform, well.view.id);
    const bad = await stable(platform, '9.0.2', first);
    const plan = await platform.cli<RolloutPlan>('rollout', 'plan', bad);
    const broken = (plan.document.data.rings.at(-1)?.stacks ?? []).slice(0, BROKEN);
    const image = await endsAtOnceIn(broken, testImage('runtime'));
    await platform.sql(
      `update releases set images = jsonb_set(images, '{runtime}', to_jsonb('${image}'::text)) where id = '${bad}'`,
    );
    say('and to one that breaks on some of the last ring');
    const halted = await rollOut(platform, bad);
    const on = await platform.sql(`select count(*) from tenants where release_id = '${good}'`);
    return result({ well, beyond, halted, stacks: slugs.length, onOld: Number(on) });
  });
}

/**
 * For how long the address of each stack was away beyond what its runtime took from its container's start until it was
 * ready, in seconds.
 */
async function beyondOwnStart(platform: TestPlatform, rollout: string): Promise<number[]> {
  const text = await platform.sql(
    `select coalesce(string_agg((s.outage_ms / 1000.0 - extract(epoch from h.finished_at - b.at))::text, ' '), '')
       from rollout_stacks s
       join operation_steps h on h.operation_id = s.operation_id and h.phase = 'health' and h.action is null
       join lateral (select max(started_at) as at from operation_steps
                      where operation_id = s.operation_id and action = 'start container' and target like '%runtime') b on true
      where s.rollout_id = '${rollout}' and s.state = 'done'`,
  );
  return text.split(' ').filter(Boolean).map(Number);
}

async function stable(platform: TestPlatform, version: string, like: string): Promise<string> {
  const id = await anotherRelease(platform, { version, like, image: await sameAgain(testImage('runtime'), version) });
  const { code } = await platform.cli('release', 'promote', id);
  if (code !== 0) {
    throw new Error(`${id} was not promoted (exit ${code})`);
  }
  return id;
}

async function rollOut(platform: TestPlatform, release: string): Promise<Rolled> {
  const flags = ['--soak', String(SOAK_SECONDS), '--timeout', String(LONGEST_SECONDS)];
  const { document } = await platform.cli<RolloutView>('rollout', 'start', release, `--confirm=${release}`, ...flags);
  const stacks: RolloutStack[] = [];
  let next: string | null = '';
  while (next !== null) {
    const cursor: string[] = next === '' ? [] : ['--cursor', next];
    const page = await platform.cli<RolloutReport>('rollout', 'report', document.data.id, ...cursor);
    stacks.push(...page.document.data.items);
    next = page.document.data.next;
  }
  return { view: document.data, stacks };
}

const seconds = (from: string | null, to: string | null): number =>
  from === null || to === null ? Number.NaN : (Date.parse(to) - Date.parse(from)) / 1_000;

const exactly = (metric: string, goal: number, value: number): Goal => ({
  metric,
  unit: '',
  goal: `= ${goal}`,
  value,
  met: value === goal,
});

interface Found {
  well: Rolled;
  /** Of each stack that went to the release that works. */
  beyond: readonly number[];
  halted: Rolled;
  stacks: number;
  /** On the release that works, after the one that breaks. */
  onOld: number;
}

function result({ well, beyond, halted, stacks, onOld }: Found): BenchResult {
  const away = (of: Rolled, state: RolloutStack['state']): number[] =>
    of.stacks.filter((stack) => stack.state === state).map(({ outageMs }) => (outageMs ?? Number.NaN) / 1_000);
  const outages = away(well, 'done');
  const back = away(halted, 'rolled_back');
  const rings = well.view.rings.map(({ begunAt, endedAt }) => round(seconds(begunAt, endedAt), 1));
  const whole = round(seconds(well.view.begunAt, well.view.endedAt), 1);
  const count = (state: RolloutStack['state']): number => halted.stacks.filter((one) => one.state === state).length;
  return {
    metrics: {
      stacks,
      outage_median_seconds: round(median(outages), 1),
      outage_p95_seconds: round(quantile(outages, 0.95), 1),
      outage_max_seconds: round(Math.max(...outages), 1),
      beyond_own_start_median_seconds: round(median(beyond), 1),
      beyond_own_start_p95_seconds: round(quantile(beyond, 0.95), 1),
      rolled_back_outage_median_seconds: round(median(back), 1),
      rollout_seconds: whole,
      halted_upgraded: count('done'),
      halted_rolled_back: count('rolled_back'),
      halted_untouched: count('waiting'),
    },
    goals: [
      exactly('stacks on the release that works', stacks, well.view.counts.done),
      exactly('stacks whose runtime’s own start was measured', stacks, beyond.length),
      atMost('address away beyond the runtime’s own start, p95', 's', BEYOND_SECONDS, quantile(beyond, 0.95)),
      exactly('the release that breaks halted its rollout', 1, halted.view.state === 'halted' ? 1 : 0),
      {
        metric: 'stacks it broke on that went back; the halt calls off what was not begun',
        unit: '',
        goal: `1 to ${BROKEN}`,
        value: count('rolled_back'),
        met: count('rolled_back') >= 1 && count('rolled_back') <= BROKEN,
      },
      exactly('stacks left on it that do not work', 0, count('failed')),
      exactly('stacks on the release before, those never begun included', stacks - count('done'), onOld),
    ],
    lines: [
      `${stacks} stacks upgraded in ${whole} s, rings of ${well.view.rings.map(({ total }) => total).join(', ')} in ${rings.join(', ')} s, ${SOAK_SECONDS} s between them`,
      `address away: median ${round(median(outages), 1)} s, p95 ${round(quantile(outages, 0.95), 1)} s, at most ${round(Math.max(...outages), 1)} s`,
      `of it beyond the runtime's own start: median ${round(median(beyond), 1)} s, p95 ${round(quantile(beyond, 0.95), 1)} s`,
      `of those that went back: median ${round(median(back), 1)} s`,
      `the release that breaks: ${count('done')} upgraded, ${count('rolled_back')} rolled back, ${count('waiting')} never begun`,
      `it halted: ${halted.view.reason ?? halted.view.state}`,
    ],
  };
}
