import { incompatible, offeredRelease, takesCopyOf, upgradeProblem, type ReleaseFacts } from './release-rules.js';
import type { Template } from './template.js';

const AVIARY = { copies: true, backup: { postgres: ['postgres'], volumes: [] } };
const template = (over: object = {}): Template =>
  ({
    name: 'standard',
    services: { postgres: { networks: ['internal'] }, runtime: { networks: ['internal', 'edge'] } },
    volumes: { data: {} },
    aviary: AVIARY,
    ...over,
  }) as unknown as Template;

const release = (id: string, over: Partial<ReleaseFacts> = {}): ReleaseFacts => ({
  id,
  state: 'stable',
  definition: template(),
  createdAt: new Date(`2026-11-0${id}T00:00:00Z`),
  ...over,
});

it('a stack goes only to what has its services on their networks and all its volumes', () => {
  expect(incompatible(template(), template({ volumes: { data: {}, more: {} } }))).toBeNull();
  expect(incompatible(template(), template({ name: 'other' }))).toContain('template other');
  expect(incompatible(template(), template({ services: { runtime: { networks: [] } } }))).toContain(
    'has the services runtime, and this stack has postgres, runtime',
  );
  const moved = { postgres: { networks: ['internal', 'edge'] }, runtime: { networks: ['internal', 'edge'] } };
  expect(incompatible(template(), template({ services: moved }))).toBe('Its postgres is on other networks.');
  expect(incompatible(template(), template({ volumes: {} }))).toContain('no volume data');
  const without = template({ aviary: { backup: { postgres: [], volumes: [] } } });
  expect(incompatible(template(), without)).toBe('Its databases are none, and this stack has postgres.');
});

it('a copy is made on what takes copies, has a place for the data, and is no earlier than what wrote it', () => {
  const taken = release('2', { definition: template({ aviary: { backup: AVIARY.backup } }) });
  expect([takesCopyOf(taken, release('2')), takesCopyOf(taken, release('3'))]).toEqual([true, true]);
  for (const to of [
    release('1'),
    taken,
    release('3', { definition: template({ volumes: { other: {} } }) }),
    // Its tools do not read what a later major version dumped.
    release('3', { definition: template({ aviary: { ...AVIARY, databaseMajor: 16 } }) }),
    release('3', { definition: template({ services: { postgres: { networks: ['internal'] } } }) }),
  ]) {
    expect({ to, takes: takesCopyOf(taken, to) }).toEqual({ to, takes: false });
  }
});

it('a stack goes to an older release too, to a candidate by operators only, and not where it failed before', () => {
  const why = (to: ReleaseFacts, over: Partial<Parameters<typeof upgradeProblem>[0]> = {}) =>
    upgradeProblem({
      slug: 'uabc234',
      tradingHeldSince: null,
      from: release('2'),
      to,
      operator: false,
      failure: null,
      ...over,
    })?.why ?? null;
  expect([why(release('1')), why(release('3')), why(release('2'))]).toEqual([null, null, 'same']);
  const candidate = release('3', { state: 'candidate' });
  expect([why(candidate), why(candidate, { operator: true })]).toEqual(['draft', null]);
  expect(why(release('3', { state: 'draft' }), { operator: true })).toBe('draft');
  expect(why(release('3', { state: 'withdrawn' }), { operator: true })).toBe('withdrawn');
  expect(why(release('3', { definition: template({ volumes: {} }) }))).toBe('incompatible');
  const failure = { at: new Date(0), message: 'It did not answer.' };
  expect(why(release('3'), { failure })).toBe('failed_before');
  expect(
    upgradeProblem({ slug: 'u', tradingHeldSince: null, from: release('2'), to: release('3'), operator: true, failure })
      ?.message,
  ).toBe(
    'The same upgrade of u failed on 1970-01-01T00:00:00.000Z: It did not answer. It is not tried again until an operator marks the release as fixed.',
  );
});

it('an owner is offered the newest stable release that is newer and that the stack can go to', () => {
  const offered = (stable: ReleaseFacts[], failed: string[] = [], held = false) =>
    offeredRelease({
      slug: 'uabc234',
      tradingHeldSince: held ? new Date(0) : null,
      from: release('2'),
      stable,
      failureOn: (to) => (failed.includes(to) ? { at: new Date(0), message: '' } : null),
    })?.id ?? null;
  const all = [release('4'), release('3'), release('2'), release('1')];
  expect(offered(all)).toBe('4');
  expect(offered(all, ['4'])).toBe('3');
  expect(offered(all, ['4', '3'])).toBeNull();
  expect(offered([release('2'), release('1')])).toBeNull();
  const other = release('4', { definition: template({ name: 'other' }) });
  expect(offered([other, release('3')])).toBe('3');
  const before = release('4', { definition: template({ aviary: { backup: AVIARY.backup } }) });
  expect([offered([before, release('3')]), offered([before, release('3')], [], true)]).toEqual(['4', '3']);
});

it('what may not trade goes to no release that would let it, whoever asks', () => {
  const to = release('1', { definition: template({ aviary: { backup: AVIARY.backup } }) });
  const question = { slug: 'uabc234', from: release('2'), to, operator: true, failure: null };
  expect(upgradeProblem({ ...question, tradingHeldSince: new Date(0) })).toMatchObject({ why: 'trading_held' });
  expect(upgradeProblem({ ...question, tradingHeldSince: new Date(0), to: release('1') })).toBeNull();
  expect(upgradeProblem({ ...question, tradingHeldSince: null })).toBeNull();
});
