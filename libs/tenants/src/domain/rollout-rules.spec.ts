import fc from 'fast-check';
import { isRolloutOver, rolloutSettingsSchema, rolloutViewSchema, type RolloutSettings } from '#libs/contracts';
import { ringSizes, ringsOf } from './rollout-rings.js';
import {
  acknowledgedUntil,
  mayMoveRollout,
  nextRolloutStep,
  rolloutBudget,
  type RolloutBudget,
  type RolloutMember,
  type RolloutSnapshot,
  type RolloutStep,
} from './rollout-rules.js';
import { opensAt } from './rollout-window.js';

const settings = (over: Partial<RolloutSettings> = {}): RolloutSettings => ({
  ...rolloutSettingsSchema.parse({}),
  ...over,
});
const start = new Date('2026-11-20T12:00:00Z');
const after = (seconds: number): Date => new Date(start.getTime() + seconds * 1_000);

/** Members by the sizes of their rings. */
const members = (...sizes: number[]): RolloutMember[] =>
  sizes.flatMap((size, ring) =>
    Array.from({ length: size }, (_, at) => ({
      id: `${ring}-${at}`,
      slug: `u${ring}${at}`,
      engineId: 'local',
      ring,
      state: 'waiting' as const,
      endedAt: null,
      rollback: false,
      since: null,
    })),
  );
const snapshot = (over: Partial<RolloutSnapshot> = {}): RolloutSnapshot => ({
  now: start,
  state: 'running',
  release: { id: 'standard@2', state: 'stable' },
  settings: settings(),
  acknowledgedAt: null,
  members: members(1, 3),
  open: {},
  busy: new Set(),
  ...over,
});
const went = (member: RolloutMember | undefined, state: RolloutMember['state'], seconds: number): void => {
  Object.assign(member ?? {}, {
    state,
    endedAt: after(seconds),
    since: state === 'done' ? { well: true, at: after(seconds) } : null,
  });
};
const brief = (step: RolloutStep): string =>
  step.kind === 'move'
    ? `${step.to} ${step.cause}`
    : step.kind === 'order' || step.kind === 'draw'
      ? `${step.kind} ${step.member.id}`
      : step.kind === 'wait'
        ? `wait ${step.for}${step.until === null ? '' : ` ${step.until.toISOString().slice(11, 19)}`}`
        : step.kind;
const next = (over: Partial<RolloutSnapshot> = {}): string => brief(nextRolloutStep(snapshot(over)));

it('rings: a canary of at least one, waves up to their parts, everybody once', () => {
  expect(ringSizes(30, settings())).toEqual([2, 6, 22]);
  expect(ringSizes(6, settings())).toEqual([1, 1, 4]);
  expect(ringSizes(1, settings())).toEqual([1]);
  expect(ringSizes(0, settings())).toEqual([]);
  expect(ringSizes(400, settings({ canaryPercent: 2, waves: [10, 100] }))).toEqual([8, 32, 360]);
  expect(ringSizes(10, settings({ canaryPercent: 100 }))).toEqual([10]);
  fc.assert(
    fc.property(fc.nat(2_000), fc.integer({ min: 1, max: 100 }), (total, canaryPercent) => {
      const all = Array.from({ length: total }, (_, at) => at);
      const rings = ringsOf(all, settings({ canaryPercent }));
      expect(rings.flat()).toEqual(all);
      expect(rings.every((ring) => ring.length > 0)).toBe(true);
    }),
  );
});

it('a window is open between its times, over midnight too, and says when it opens', () => {
  const at = (time: string): Date => new Date(`2026-11-20T${time}:00Z`);
  const night = { from: '22:30', to: '04:00' };
  expect([opensAt(null, start), opensAt(night, at('22:30')), opensAt(night, at('03:59'))]).toEqual([null, null, null]);
  expect(opensAt(night, at('04:00'))).toEqual(at('22:30'));
  const morning = { from: '01:00', to: '05:00' };
  expect(opensAt(morning, at('00:10'))).toEqual(at('01:00'));
  expect(opensAt(morning, at('05:00'))).toEqual(new Date('2026-11-21T01:00:00Z'));
});

it('begins with the canary, and a wave only once the ring before ended and stayed well for its soak', () => {
  const all = members(1, 2);
  expect(next({ state: 'planned', members: all })).toBe('running begun');
  expect(next({ members: all })).toBe('order 0-0');
  Object.assign(all[0] ?? {}, { state: 'upgrading' });
  expect(next({ members: all, open: { local: 1 } })).toBe('wait upgrades');
  went(all[0], 'done', 30);
  expect(next({ members: all, now: after(60) })).toBe('wait soak 12:10:30');
  expect(next({ members: all, now: after(630) })).toBe('order 1-0');
  // Unwell meanwhile it is not gone on with, and begins anew once it is back.
  Object.assign(all[0] ?? {}, { since: { well: false, at: after(300) } });
  expect(next({ members: all, now: after(700) })).toBe('wait unwell');
  Object.assign(all[0] ?? {}, { since: { well: true, at: after(720) } });
  expect(next({ members: all, now: after(730) })).toBe('wait soak 12:22:00');
  went(all[1], 'done', 1_400);
  went(all[2], 'done', 1_401);
  expect(next({ members: all, now: after(1_402) })).toBe('wait soak 12:33:21');
});

it('no news of a stack is not good news: the next ring waits for some, and it is no failure either', () => {
  const all = members(1, 2);
  went(all[0], 'done', 0);
  Object.assign(all[0] ?? {}, { since: { well: null, at: after(0) } });
  expect(next({ members: all, now: after(601) })).toBe('wait unwell');
  expect(next({ members: all, now: after(90_000) })).toBe('wait unwell');
  Object.assign(all[0] ?? {}, { since: { well: true, at: after(0) } });
  expect(next({ members: all, now: after(90_001) })).toBe('order 1-0');
});

it('begins no ring on nothing: where no stack of those before runs on the release, somebody decides', () => {
  const all = members(2, 2);
  went(all[0], 'done', 0);
  went(all[1], 'done', 1);
  Object.assign(all[0] ?? {}, { since: null });
  expect(next({ members: all, now: after(601) })).toBe('order 1-0');
  Object.assign(all[1] ?? {}, { since: null });
  expect(next({ members: all, now: after(600) })).toBe('wait soak 12:10:01');
  expect(next({ members: all, now: after(601) })).toBe('halted unproven');
  // Not before it would begin: until then one of them may run again.
  const window = { from: '20:00', to: '21:00' };
  expect(next({ members: all, now: after(601), settings: settings({ window }) })).toBe('wait window 20:00:00');
  expect(next({ members: all, now: after(602), acknowledgedAt: after(601) })).toBe('order 1-0');
  // Begun it goes on, and those of the last ring may rest.
  went(all[2], 'done', 700);
  Object.assign(all[2] ?? {}, { since: null });
  expect(next({ members: all, now: after(701) })).toBe('order 1-1');
  went(all[3], 'done', 800);
  Object.assign(all[3] ?? {}, { since: null });
  expect(next({ members: all, now: after(1_400) })).toBe('done finished');
});

it('is over only once its last ring stayed well for its soak too, and halts where that one broke too many', () => {
  const all = members(1, 1);
  went(all[0], 'done', 0);
  went(all[1], 'done', 700);
  expect(next({ members: all, now: after(1_299) })).toBe('wait soak 12:21:40');
  expect(next({ members: all, now: after(1_300) })).toBe('done finished');
  Object.assign(all[1] ?? {}, { since: { well: false, at: after(900) } });
  expect(next({ members: all, now: after(1_300) })).toBe('wait unwell');
  expect(next({ members: all, now: after(1_500) })).toBe('halted budget');
  expect(next({ members: all, now: after(1_501), acknowledgedAt: after(1_500) })).toBe('done finished');
});

it('orders as many as may be at once on each engine, and passes over what is busy', () => {
  const all = members(4);
  all.slice(2).forEach((member) => Object.assign(member, { engineId: 'second' }));
  expect(next({ members: all, open: { local: 4 } })).toBe('order 0-2');
  expect(next({ members: all, open: { local: 4, second: 4 } })).toBe('wait upgrades');
  expect(next({ members: all, busy: new Set(['0-0', '0-1']) })).toBe('order 0-2');
});

it('leaves half of the places an agent has for operations to others, also where its settings are from before', () => {
  expect(rolloutSettingsSchema.safeParse({ concurrency: 8 }).success).toBe(true);
  expect(rolloutSettingsSchema.safeParse({ concurrency: 9 }).success).toBe(false);
  expect(rolloutViewSchema.shape.settings.safeParse(settings({ concurrency: 50 })).success).toBe(true);
  const all = members(20);
  expect(next({ members: all, open: { local: 7 }, settings: settings({ concurrency: 50 }) })).toBe('order 0-0');
  expect(next({ members: all, open: { local: 8 }, settings: settings({ concurrency: 50 }) })).toBe('wait upgrades');
});

it('holds still outside its window, while paused, and before the release is stable', () => {
  const window = { from: '20:00', to: '21:00' };
  expect(next({ settings: settings({ window }) })).toBe('wait window 20:00:00');
  expect(next({ state: 'planned', settings: settings({ window }) })).toBe('wait window 20:00:00');
  expect([next({ state: 'paused' }), next({ state: 'halted' })]).toEqual(['wait operator', 'wait operator']);
  expect([next({ state: 'aborted' }), next({ state: 'done' })]).toEqual(['over', 'over']);
  const candidate = { id: 'standard@2', state: 'candidate' } as const;
  expect(next({ release: candidate })).toBe('wait promotion');
  expect(next({ release: candidate, settings: settings({ candidate: true }) })).toBe('order 0-0');
  const all = members(1, 3);
  went(all[0], 'done', -600);
  expect(next({ release: candidate, settings: settings({ candidate: true }), members: all })).toBe('wait promotion');
  expect(next({ members: all })).toBe('order 1-0');
});

it('a withdrawn release halts it, also while it is paused', () => {
  const release = { id: 'standard@2', state: 'withdrawn' } as const;
  expect(next({ release })).toBe('halted withdrawn');
  expect(next({ release, state: 'paused' })).toBe('halted withdrawn');
  expect(next({ release, state: 'halted' })).toBe('wait operator');
});

it('acknowledged is the newest failure there is to see, as long as another may have happened beside it', () => {
  const all = members(3);
  went(all[0], 'rolled_back', 5);
  went(all[1], 'done', 7);
  Object.assign(all[2] ?? {}, { state: 'upgrading' });
  expect(acknowledgedUntil(snapshot({ members: all, now: after(60) }))).toEqual(after(5));
  went(all[2], 'failed', 6);
  expect(next({ members: all, now: after(60), acknowledgedAt: after(5) })).toBe('halted budget');
  expect(acknowledgedUntil(snapshot({ members: all, now: after(60) }))).toEqual(after(60));
});

it('a canary of which nobody could be upgraded draws the next stack instead of proving nothing', () => {
  const all = members(1, 3);
  Object.assign(all[0] ?? {}, { state: 'skipped' });
  expect(next({ members: all })).toBe('draw 1-0');
});

it('the budget is a part of the stacks in rings that were begun: a small canary may not fail, a large wave may a little', () => {
  const all = members(8, 92);
  const budget = (over: Partial<RolloutSnapshot> = {}) => rolloutBudget(snapshot({ members: all, ...over }));
  went(all[0], 'rolled_back', 1);
  expect(budget()).toMatchObject({ failures: ['u00'], allowed: 0 });
  expect(next({ members: all })).toBe('halted budget');
  // An operator who goes on knows of it.
  expect(next({ members: all, acknowledgedAt: after(1) })).toBe('order 0-1');
  all.slice(0, 8).forEach((member, at) => went(member, 'done', at));
  Object.assign(all[8] ?? {}, { state: 'upgrading' });
  expect(budget().allowed).toBe(2);
  went(all[8], 'failed', 10);
  went(all[9], 'done', 11);
  went(all[10], 'rolling_back', 12);
  expect(next({ members: all, now: after(20) })).toBe('order 1-3');
  went(all[11], 'done', 13);
  went(all[12], 'failed', 14);
  expect(next({ members: all, now: after(20) })).toBe('halted budget');
  expect(next({ members: all, now: after(20), settings: settings({ budgetPercent: 50 }) })).toBe('order 1-5');
});

it('failures in a row halt it whatever its budget, and a success between begins anew', () => {
  const wide = settings({ budgetPercent: 100 });
  const all = members(6);
  went(all[0], 'rolled_back', 1);
  went(all[1], 'failed', 2);
  expect(next({ members: all, settings: wide })).toBe('order 0-2');
  went(all[2], 'done', 3);
  went(all[3], 'failed', 4);
  expect(next({ members: all, settings: wide })).toBe('order 0-4');
  went(all[2], 'failed', 3);
  const step = nextRolloutStep(snapshot({ members: all, settings: wide }));
  expect(step).toMatchObject({
    to: 'halted',
    cause: 'in_a_row',
    reason:
      'The upgrade to standard@2 failed on 4 stacks in a row: u00, u01, u02, u03. 3 ended without a rollback: u01, u02, u03; 1 back on the release before: u00. No other stack goes there.',
  });
});

it('its halt says of each kind of failure where those stacks are now', () => {
  const all = members(7);
  all.slice(0, 3).forEach((member, at) => went(member, 'done', at));
  all.slice(0, 2).forEach((member) => Object.assign(member, { since: { well: false, at: after(10) } }));
  went(all[3], 'rolling_back', 3);
  went(all[4], 'rolled_back', 4);
  went(all[5], 'failed', 5);
  Object.assign(all[5] ?? {}, { rollback: true });
  went(all[6], 'failed', 6);
  const step = nextRolloutStep(snapshot({ members: all, now: after(610), settings: settings({ inARow: 100 }) }));
  expect(step).toMatchObject({
    cause: 'budget',
    reason:
      'The upgrade to standard@2 failed on 6 stacks where none may: u03, u04, u05, u06, u00 and 1 more. 2 still on standard@2 and do not work: u00, u01; 1 could not go back: u05; 1 ended without a rollback: u06; 1 on the way back to the release before: u03; 1 back on the release before: u04. No other stack goes there.',
  });
});

it('a stack that broke after its upgrade and stays broken for a soak counts as one on which it failed', () => {
  const all = members(1, 3);
  went(all[0], 'done', 0);
  Object.assign(all[0] ?? {}, { since: { well: false, at: after(100) } });
  expect(next({ members: all, now: after(699) })).toBe('wait unwell');
  expect(next({ members: all, now: after(700) })).toBe('halted budget');
  expect(next({ members: all, now: after(701), acknowledgedAt: after(700) })).toBe('order 1-0');
});

it('orders no other in a ring while more broke than may fail, however long a ring is watched', () => {
  const all = members(4);
  const soak = settings({ soakSeconds: 86_400 });
  went(all[0], 'done', 0);
  went(all[1], 'done', 1);
  Object.assign(all[0] ?? {}, { since: { well: false, at: after(100) } });
  expect(next({ members: all, now: after(101), settings: soak })).toBe('wait unwell');
  expect(next({ members: all, now: after(699), settings: soak })).toBe('wait unwell');
  expect(next({ members: all, now: after(700), settings: soak })).toBe('halted budget');
  // Known and gone on with, it holds nobody up.
  expect(next({ members: all, now: after(700), settings: soak, acknowledgedAt: after(700) })).toBe('order 0-2');
  expect(next({ members: all, now: after(101), settings: { ...soak, budgetPercent: 25 } })).toBe('order 0-2');
  Object.assign(all[0] ?? {}, { since: { well: true, at: after(300) } });
  expect(next({ members: all, now: after(301), settings: soak })).toBe('order 0-2');
});

/** Plays a whole rollout: upgrades end in any order, well or not, and the platform looks again and again. */
function play(all: RolloutMember[], own: RolloutSettings, bad: (at: number) => boolean, order: () => number) {
  let seconds = 0;
  let state: RolloutSnapshot['state'] = 'planned';
  const ordered: RolloutMember[] = [];
  let atHalt: { cause: string; budget: RolloutBudget } | null = null;
  for (let turn = 0; turn < 10_000; turn += 1) {
    const busy = all.filter((member) => member.state === 'upgrading');
    const open: Record<string, number> = {};
    busy.forEach(({ engineId }) => (open[engineId] = (open[engineId] ?? 0) + 1));
    const now = after(seconds);
    const seen = snapshot({ now, state, settings: own, members: all, open });
    const step = nextRolloutStep(seen);
    if (step.kind === 'order') {
      expect(open[step.member.engineId] ?? 0).toBeLessThan(own.concurrency);
      // Nobody before it in line is left.
      const before = all.filter(({ ring }) => ring < step.member.ring);
      expect(before.every((one) => ['done', 'failed', 'rolled_back', 'skipped'].includes(one.state))).toBe(true);
      expect(state).toBe('running');
      Object.assign(step.member, { state: 'upgrading' });
      ordered.push(step.member);
      continue;
    }
    if (step.kind === 'move') {
      expect(mayMoveRollout(state, step.to)).toBe(true);
      state = step.to;
      atHalt = state === 'halted' ? { cause: step.cause, budget: rolloutBudget(seen) } : atHalt;
      continue;
    }
    const ending = busy[order() % Math.max(1, busy.length)];
    if (ending === undefined && (isRolloutOver(state) || state === 'halted')) {
      return { state, ordered, atHalt };
    }
    seconds += ending === undefined ? 60 : 1;
    went(ending, bad(all.indexOf(ending as RolloutMember)) ? 'rolled_back' : 'done', seconds);
  }
  throw new Error(`It never ended: ${state}`);
}

it('whatever fails and whenever, it ends: all upgraded, or halted with the rest untouched', () => {
  fc.assert(
    fc.property(
      fc.array(fc.boolean(), { minLength: 1, maxLength: 60 }),
      fc.record({ concurrency: fc.integer({ min: 1, max: 5 }), budgetPercent: fc.integer({ min: 0, max: 100 }) }),
      fc.array(fc.nat(20), { minLength: 1, maxLength: 20 }),
      (outcomes, over, picks) => {
        const own = settings(over);
        const all = members(...ringSizes(outcomes.length, own));
        let at = 0;
        const { state, ordered, atHalt } = play(
          all,
          own,
          (index) => outcomes[index] === true,
          () => picks[(at += 1) % picks.length] ?? 0,
        );
        expect(new Set(ordered).size).toBe(ordered.length);
        const failed = all.filter(({ state: own }) => own === 'rolled_back').length;
        if (state === 'done') {
          expect(all.every((one) => one.state !== 'waiting')).toBe(true);
          return;
        }
        expect(state).toBe('halted');
        const { cause, budget } = atHalt as NonNullable<typeof atHalt>;
        const { failures, allowed, inARow } = budget;
        if (cause === 'unproven') {
          // Few enough failed, but everybody who went.
          expect(failed).toBe(ordered.length);
          return;
        }
        // By the very failure that was one too many; besides it, only what was under way then.
        expect(failures.length === allowed + 1 || inARow.length === own.inARow).toBe(true);
        expect(failed).toBeLessThan(failures.length + own.concurrency);
      },
    ),
  );
});

it('a release that fails everywhere reaches no more than the first failures and what was under way beside them', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 6 }), (total, concurrency) => {
      const own = settings({ concurrency });
      const all = members(...ringSizes(total, own));
      const { state, ordered } = play(
        all,
        own,
        () => true,
        () => 0,
      );
      expect(state).toBe('halted');
      expect(ordered.length).toBeLessThanOrEqual(concurrency);
      expect(ordered.every(({ ring }) => ring === 0)).toBe(true);
    }),
  );
});
