import {
  isRolloutOver,
  MOST_UPGRADES_AT_ONCE,
  ROLLOUT_TRANSITIONS,
  type ReleaseState,
  type RolloutCause,
  type RolloutSettings,
  type RolloutStackState,
  type RolloutState,
} from '#libs/contracts';
import { opensAt } from './rollout-window.js';

/** One stack of a rollout, as it is now. */
export interface RolloutMember {
  id: string;
  slug: string;
  engineId: string;
  ring: number;
  state: RolloutStackState;
  /** When its upgrade ended, well or not. */
  endedAt: Date | null;
  /** Whether its upgrade led to a rollback, however that ended. */
  rollback: boolean;
  /** Of one that was upgraded and is to run: whether it does, null where there is no news, and since when. Null of others. */
  since: { well: boolean | null; at: Date } | null;
}

export interface RolloutSnapshot {
  now: Date;
  state: RolloutState;
  release: { id: string; state: ReleaseState };
  settings: RolloutSettings;
  /** What failed until then counts no more: an operator went on knowing it. */
  acknowledgedAt: Date | null;
  /** Those with a ring, in their order. */
  members: readonly RolloutMember[];
  /** Upgrades and rollbacks that are open on each engine. */
  open: Readonly<Record<string, number>>;
  /** Ids of those on which something else is under way. */
  busy: ReadonlySet<string>;
}

export type RolloutStep =
  | { kind: 'move'; to: RolloutState; cause: RolloutCause; reason: string | null }
  /** Brings a stack of a later ring into the canary, which has none left that could show anything. */
  | { kind: 'draw'; member: RolloutMember }
  | { kind: 'order'; member: RolloutMember }
  | { kind: 'wait'; for: 'upgrades' | 'soak' | 'unwell' | 'window' | 'promotion' | 'operator'; until: Date | null }
  | { kind: 'over' };

export function mayMoveRollout(from: RolloutState, to: RolloutState): boolean {
  return (ROLLOUT_TRANSITIONS[from] as readonly RolloutState[]).includes(to);
}

const FAILED: readonly RolloutStackState[] = ['rolling_back', 'rolled_back', 'failed'];
const OPEN: readonly RolloutStackState[] = ['waiting', 'upgrading', 'rolling_back'];

const isOpen = ({ state }: RolloutMember): boolean => OPEN.includes(state);
const hasBegun = ({ state }: RolloutMember): boolean => state !== 'waiting' && state !== 'skipped';

/**
 * One that is broken for so long does not come back by itself: within it a repair or two had their turn. How long a ring
 * is watched may be days, in which the rest of the ring would go the same way.
 */
const BROKEN_FOR_GOOD_SECONDS = 600;

/** When it came to be known that the release does not work on that stack; null where it does, or nobody knows yet. */
function failedAt(member: RolloutMember, { now, settings }: RolloutSnapshot): Date | null {
  if (FAILED.includes(member.state)) {
    return member.endedAt;
  }
  const { since } = member;
  const seconds = Math.min(settings.soakSeconds, BROKEN_FOR_GOOD_SECONDS);
  const known = since?.well === false ? new Date(since.at.getTime() + seconds * 1_000) : null;
  return known !== null && known <= now ? known : null;
}

export interface RolloutBudget {
  /** Of the stacks on which it failed since an operator went on, the slugs; first come, first. */
  failures: string[];
  /** How many there may be. */
  allowed: number;
  /** The longest row of failures with no success between. */
  inARow: string[];
  /** When the newest of the failures came to be known. */
  newest: Date | null;
  /** How many broke after their upgrade and may come back by themselves still. */
  unwell: number;
}

/**
 * A part of the stacks in the rings that were begun, which is the whole rollout by its last ring: a canary is there to
 * find out early, so that a small one may not fail at all, and the more stacks went well, the more may fail.
 */
export function rolloutBudget(snapshot: RolloutSnapshot): RolloutBudget {
  const { members, settings, acknowledgedAt } = snapshot;
  const newest = members.filter(hasBegun).reduce((ring, member) => Math.max(ring, member.ring), 0);
  const counted = members.filter(({ ring, state }) => ring <= newest && state !== 'skipped').length;
  const ended = members
    .map((member) => ({ member, failed: failedAt(member, snapshot) }))
    .map(({ member, failed }) => ({ member, failed, at: failed ?? member.endedAt }))
    .filter(({ member, at }) => at !== null && hasBegun(member) && (acknowledgedAt === null || at > acknowledgedAt))
    .toSorted((a, b) => (a.at?.getTime() ?? 0) - (b.at?.getTime() ?? 0));
  let inARow: string[] = [];
  let row: string[] = [];
  for (const { member, failed } of ended) {
    row = failed === null ? [] : [...row, member.slug];
    inARow = row.length > inARow.length ? row : inARow;
  }
  return {
    failures: ended.filter(({ failed }) => failed !== null).map(({ member }) => member.slug),
    allowed: Math.floor((counted * settings.budgetPercent) / 100),
    inARow,
    newest: ended.findLast(({ failed }) => failed !== null)?.failed ?? null,
    unwell: members.filter((member) => member.since?.well === false && failedAt(member, snapshot) === null).length,
  };
}

/**
 * Until when what failed counts no more, once somebody goes on knowing of it. While upgrades are under way, that is the
 * newest failure there is to see: another may have happened since, and be told later.
 */
export function acknowledgedUntil(snapshot: RolloutSnapshot): Date | null {
  return snapshot.members.some(({ state }) => state === 'upgrading')
    ? (rolloutBudget(snapshot).newest ?? snapshot.acknowledgedAt)
    : snapshot.now;
}

const listed = (slugs: readonly string[]): string =>
  slugs.length <= 5 ? slugs.join(', ') : `${slugs.slice(0, 5).join(', ')} and ${slugs.length - 5} more`;

/** What became of those it failed on, each kind apart: what is still on the release and broken is to be looked at first. */
function fates(failed: readonly RolloutMember[], release: string): string {
  const kinds: [(member: RolloutMember) => boolean, (n: number) => string][] = [
    [({ state }) => state === 'done', (n) => `still on ${release} and ${n === 1 ? 'does' : 'do'} not work`],
    [({ state, rollback }) => state === 'failed' && rollback, () => 'could not go back'],
    [({ state, rollback }) => state === 'failed' && !rollback, () => 'ended without a rollback'],
    [({ state }) => state === 'rolling_back', () => 'on the way back to the release before'],
    [({ state }) => state === 'rolled_back', () => 'back on the release before'],
  ];
  return kinds
    .map(([is, words]) => ({ words, slugs: failed.filter(is).map(({ slug }) => slug) }))
    .filter(({ slugs }) => slugs.length > 0)
    .map(({ words, slugs }) => `${slugs.length} ${words(slugs.length)}: ${listed(slugs)}`)
    .join('; ');
}

/** What has to stop it, whatever else there is to do. */
function haltOf(snapshot: RolloutSnapshot): Extract<RolloutStep, { kind: 'move' }> | null {
  const { release, settings } = snapshot;
  const halt = (cause: RolloutCause, reason: string) => ({ kind: 'move', to: 'halted', cause, reason }) as const;
  if (release.state === 'withdrawn' || release.state === 'draft') {
    return halt('withdrawn', `${release.id} was withdrawn. Stacks that are on it stay there; no other goes there.`);
  }
  const { failures, allowed, inARow } = rolloutBudget(snapshot);
  const became = (slugs: readonly string[]): string => {
    const failed = snapshot.members.filter(({ slug }) => slugs.includes(slug));
    return `${fates(failed, release.id)}. No other stack goes there.`;
  };
  if (inARow.length >= settings.inARow) {
    return halt(
      'in_a_row',
      `The upgrade to ${release.id} failed on ${inARow.length} stacks in a row: ${listed(inARow)}. ${became(inARow)}`,
    );
  }
  if (failures.length > allowed) {
    const may = allowed === 0 ? 'none may' : `${allowed} may`;
    return halt(
      'budget',
      `The upgrade to ${release.id} failed on ${failures.length} ${failures.length === 1 ? 'stack' : 'stacks'} where ${may}: ${listed(failures)}. ${became(failures)}`,
    );
  }
  return null;
}

/** Of rings that are over: from when on they were well, null while one of their stacks is not and may come back, or nobody knows. */
function wellFrom(members: readonly RolloutMember[], snapshot: RolloutSnapshot): Date | null {
  let at = 0;
  for (const member of members) {
    const { endedAt, since } = member;
    if (failedAt(member, snapshot) !== null && since?.well === false) {
      continue;
    }
    // Nor is no news good news.
    if (since !== null && since.well !== true) {
      return null;
    }
    at = Math.max(at, endedAt?.getTime() ?? 0, since?.at.getTime() ?? 0);
  }
  return new Date(at);
}

/** What is to be waited for before that ring may begin, or the end come, which is as a ring behind all others. */
function soakOf(snapshot: RolloutSnapshot, ring: number): RolloutStep | null {
  const { members, settings, now } = snapshot;
  const own = members.filter((member) => member.ring === ring);
  // A ring that was begun had its turn; what becomes of the one before is the budget's affair.
  if (ring === 0 || own.some(hasBegun)) {
    return null;
  }
  const before = members.filter((member) => member.ring < ring);
  const from = wellFrom(before, snapshot);
  if (from === null) {
    return { kind: 'wait', for: 'unwell', until: null };
  }
  const until = new Date(from.getTime() + settings.soakSeconds * 1_000);
  return until > now ? { kind: 'wait', for: 'soak', until } : null;
}

/** A ring begins on what the ones before have shown: where none of them runs on the release, somebody is to decide. */
function unproven(snapshot: RolloutSnapshot, ring: number): RolloutStep | null {
  const { members, release, acknowledgedAt } = snapshot;
  const before = members.filter((member) => member.ring < ring && hasBegun(member));
  const known = ({ endedAt }: RolloutMember) =>
    acknowledgedAt !== null && endedAt !== null && endedAt <= acknowledgedAt;
  if (
    ring === 0 ||
    members.some((member) => member.ring === ring && hasBegun(member)) ||
    before.some(({ since }) => since?.well === true) ||
    before.every(known)
  ) {
    return null;
  }
  return {
    kind: 'move',
    to: 'halted',
    cause: 'unproven',
    reason: `No stack that was upgraded runs on ${release.id} now, so nothing shows that it works: they failed, rest, are suspended or went elsewhere. Start one of them, or go on knowing that.`,
  };
}

/** Whom to upgrade next in the ring that is not over, or what to wait for. */
function within(snapshot: RolloutSnapshot, ring: number): RolloutStep {
  const { members, settings, release, open, busy, now } = snapshot;
  const opens = opensAt(settings.window, now);
  if (opens !== null) {
    return { kind: 'wait', for: 'window', until: opens };
  }
  if (release.state === 'candidate' && !(ring === 0 && settings.candidate)) {
    return { kind: 'wait', for: 'promotion', until: null };
  }
  const nothing = unproven(snapshot, ring);
  if (nothing !== null) {
    return nothing;
  }
  const { failures, allowed, unwell } = rolloutBudget(snapshot);
  if (unwell > 0 && failures.length + unwell > allowed) {
    // Come to stay so, they halt it: until that is known, no other goes the same way.
    return { kind: 'wait', for: 'unwell', until: null };
  }
  const member = members.find(
    (one) =>
      one.ring === ring &&
      one.state === 'waiting' &&
      !busy.has(one.id) &&
      (open[one.engineId] ?? 0) < Math.min(settings.concurrency, MOST_UPGRADES_AT_ONCE),
  );
  return member ? { kind: 'order', member } : { kind: 'wait', for: 'upgrades', until: null };
}

/** The one next thing to do about a rollout. The same snapshot always has the same. */
export function nextRolloutStep(snapshot: RolloutSnapshot): RolloutStep {
  const { state, members, settings, now } = snapshot;
  if (isRolloutOver(state)) {
    return { kind: 'over' };
  }
  const halt = state === 'halted' ? null : haltOf(snapshot);
  if (halt !== null) {
    return halt;
  }
  if (state === 'halted' || state === 'paused') {
    return { kind: 'wait', for: 'operator', until: null };
  }
  const unfinished = members.filter(isOpen);
  if (state === 'planned') {
    const opens = opensAt(settings.window, now);
    return opens === null
      ? { kind: 'move', to: 'running', cause: 'begun', reason: null }
      : { kind: 'wait', for: 'window', until: opens };
  }
  const ring = unfinished.reduce((least, member) => Math.min(least, member.ring), Number.POSITIVE_INFINITY);
  if (!Number.isFinite(ring)) {
    // The last ring is watched as any other: nobody knows before what it broke.
    return soakOf(snapshot, ring) ?? { kind: 'move', to: 'done', cause: 'finished', reason: null };
  }
  if (ring > 0 && !members.some((member) => member.ring === 0 && hasBegun(member))) {
    const drawn = unfinished.find(({ state: own }) => own === 'waiting');
    return drawn ? { kind: 'draw', member: drawn } : { kind: 'wait', for: 'upgrades', until: null };
  }
  return soakOf(snapshot, ring) ?? within(snapshot, ring);
}
