import { z } from 'zod';
import { slugSchema, uuidSchema } from './names.js';
import { UPGRADE_PROBLEMS } from './releases.js';

/**
 * planned (accepted, not begun: nobody looked at it yet, or its window is closed) → running → done; paused by an
 * operator, halted by itself, aborted for good.
 */
export const ROLLOUT_STATES = ['planned', 'running', 'paused', 'halted', 'aborted', 'done'] as const;
export type RolloutState = (typeof ROLLOUT_STATES)[number];

/** The one transition table of rollouts; every move is a compare-and-set on the state it leaves. */
export const ROLLOUT_TRANSITIONS = {
  planned: ['running', 'paused', 'halted', 'aborted'],
  running: ['paused', 'halted', 'aborted', 'done'],
  paused: ['running', 'halted', 'aborted'],
  halted: ['running', 'aborted'],
  aborted: [],
  done: [],
} as const satisfies Record<RolloutState, readonly RolloutState[]>;

export function isRolloutOver(state: RolloutState): boolean {
  return ROLLOUT_TRANSITIONS[state].length === 0;
}

/** What an operator may do with a rollout: from which states, and what it is then. */
export const ROLLOUT_MOVES = {
  pause: { from: ['planned', 'running'], to: 'paused' },
  resume: { from: ['paused', 'halted'], to: 'running' },
  abort: { from: ['planned', 'running', 'paused', 'halted'], to: 'aborted' },
} as const satisfies Record<string, { from: readonly RolloutState[]; to: RolloutState }>;
export type RolloutMove = keyof typeof ROLLOUT_MOVES;

export function rolloutMoves(state: RolloutState): RolloutMove[] {
  return (Object.keys(ROLLOUT_MOVES) as RolloutMove[]).filter((move) =>
    ROLLOUT_MOVES[move].from.some((from) => from === state),
  );
}

/** Why it is in its state. */
export const ROLLOUT_CAUSES = [
  'ordered',
  'begun',
  'operator',
  'budget',
  'in_a_row',
  'unproven',
  'withdrawn',
  'finished',
] as const;
export type RolloutCause = (typeof ROLLOUT_CAUSES)[number];

/** waiting → upgrading → done, or failed (the stack was left alone, or is left broken), or rolling_back → rolled_back. */
export const ROLLOUT_STACK_STATES = [
  'waiting',
  'upgrading',
  'rolling_back',
  'done',
  'rolled_back',
  'failed',
  'skipped',
] as const;
export type RolloutStackState = (typeof ROLLOUT_STACK_STATES)[number];

/** Why a stack is left as it is: what a single upgrade is refused for, and what is of rollouts alone. */
export const ROLLOUT_SKIPS = [...UPGRADE_PROBLEMS, 'newer', 'suspended', 'destroying', 'cancelled'] as const;
export type RolloutSkip = (typeof ROLLOUT_SKIPS)[number];

const percent = z.number().min(0).max(100);
const timeOfDay = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'Use a time of day in UTC, such as 01:30.');

/** Times of day, UTC, between which upgrades are begun; what was begun goes on. One may pass midnight. */
export const rolloutWindowSchema = z
  .strictObject({ from: timeOfDay, to: timeOfDay })
  .refine(({ from, to }) => from !== to, 'A window begins and ends at different times.');
export type RolloutWindow = z.infer<typeof rolloutWindowSchema>;

/** The places an agent has for upgrades. Their rollbacks take as many of the 16 in which customers start and stop: half. */
export const MOST_UPGRADES_AT_ONCE = 8;

export const rolloutSettingsSchema = z.strictObject({
  /** Of the stacks that are to be upgraded, those that go first; at least one. */
  canaryPercent: percent.gt(0).default(5),
  /** Up to which part of them each wave after it goes; the last one is 100. */
  waves: z
    .array(percent.gt(0))
    .min(1)
    .max(20)
    .default([25, 100])
    .refine((waves) => waves.every((wave, at) => at === 0 || wave > (waves[at - 1] ?? 0)), 'Each wave goes further.')
    .refine((waves) => waves.at(-1) === 100, 'The last wave is 100.'),
  /** Upgrades and rollbacks at the same time on one engine, whoever ordered them. */
  concurrency: z.int().min(1).max(MOST_UPGRADES_AT_ONCE).default(4),
  /** How long a ring has to stay well before the next one begins. */
  soakSeconds: z
    .int()
    .min(0)
    .max(7 * 86_400)
    .default(600),
  /** More than this part of the stacks of the rings begun so far halts it. */
  budgetPercent: percent.default(2),
  /** So many failures in a row halt it. */
  inARow: z.int().min(1).max(100).default(3),
  /** Whether the canary may go to a release that is a candidate still; waves wait until it is stable. */
  candidate: z.boolean().default(false),
  window: rolloutWindowSchema.nullable().default(null),
});
export type RolloutSettings = z.infer<typeof rolloutSettingsSchema>;

/** As one keeps them: of those from before, more could go at once. */
const keptSettingsSchema = rolloutSettingsSchema.extend({ concurrency: z.int().min(1) });

/** All stacks of the release's template that are on an older one; or those of that release, newer ones too; or those named. */
export const rolloutSelectionSchema = z.strictObject({
  from: z.string().min(1).max(200).optional(),
  stacks: z.array(slugSchema).min(1).max(5_000).optional(),
});
export type RolloutSelection = z.infer<typeof rolloutSelectionSchema>;

/** POST /api/v1/operator/rollouts/plan */
export const planRolloutSchema = z.strictObject({
  release: z.string().min(1).max(200),
  selection: rolloutSelectionSchema.default({}),
  settings: rolloutSettingsSchema.prefault({}),
});
export type PlanRollout = z.infer<typeof planRolloutSchema>;

/** POST /api/v1/operator/rollouts: the release's id once more, since it changes what runs for everybody. */
export const startRolloutSchema = planRolloutSchema.extend({ confirm: z.string() });
export type StartRollout = z.infer<typeof startRolloutSchema>;

/**
 * POST /api/v1/operator/rollouts/{id}/resume: `acknowledge` where it halted; what failed until then counts no more.
 * `failures` and `newest` are what was seen of them (`budget`): where there are more or newer ones by now, it is refused.
 */
export const resumeRolloutSchema = z.strictObject({
  acknowledge: z.boolean().default(false),
  failures: z.int().min(0).optional(),
  newest: z.iso.datetime().nullable().optional(),
});
export type ResumeRollout = z.infer<typeof resumeRolloutSchema>;

const count = z.int().min(0);

export const rolloutPlanSchema = z.object({
  release: z.string(),
  template: z.string(),
  selection: rolloutSelectionSchema,
  settings: rolloutSettingsSchema,
  /** The canary first. Which stack is in which ring is the same at each look, as long as the stacks are. */
  rings: z.array(z.object({ ring: count, stacks: z.array(slugSchema) })),
  skipped: z.array(z.object({ slug: slugSchema, why: z.enum(ROLLOUT_SKIPS), message: z.string() })),
  /** Median time an upgrade took, in milliseconds; null before there are three. */
  usualMs: count.nullable(),
});
export type RolloutPlan = z.infer<typeof rolloutPlanSchema>;

export const rolloutWaitSchema = z.object({
  /**
   * upgrades: those under way, or room on the engine; soak: a ring is to stay well; unwell: an upgraded stack is not, or there
   * is no news of it;
   * promotion: the release is to become stable; operator: somebody has to resume or abort it.
   */
  for: z.enum(['upgrades', 'soak', 'unwell', 'window', 'promotion', 'operator']),
  /** When that will be, where it is known. */
  until: z.iso.datetime().nullable(),
});
export type RolloutWait = z.infer<typeof rolloutWaitSchema>;

const counts = z.object({
  total: count,
  waiting: count,
  /** Being upgraded or rolled back. */
  open: count,
  done: count,
  /** Of them, those that are not as they should be now. */
  unwell: count,
  rolledBack: count,
  failed: count,
  skipped: count,
});
export type RolloutCounts = z.infer<typeof counts>;

export const rolloutRingSchema = counts.extend({
  /** 0 is the canary. */
  ring: count,
  begunAt: z.iso.datetime().nullable(),
  /** When its last upgrade ended; null while some are not over. */
  endedAt: z.iso.datetime().nullable(),
  /** For how long addresses led to the waiting page; null where none did. */
  outageMs: z.object({ median: count, p95: count }).nullable(),
});
export type RolloutRing = z.infer<typeof rolloutRingSchema>;

export const rolloutViewSchema = z.object({
  id: uuidSchema,
  template: z.string(),
  release: z.string(),
  selection: rolloutSelectionSchema,
  settings: keptSettingsSchema,
  state: z.enum(ROLLOUT_STATES),
  /** Since when, why and, where it matters, in words. */
  since: z.iso.datetime(),
  cause: z.enum(ROLLOUT_CAUSES),
  reason: z.string().nullable(),
  createdBy: z.string(),
  createdAt: z.iso.datetime(),
  begunAt: z.iso.datetime().nullable(),
  endedAt: z.iso.datetime().nullable(),
  /** What it waits for; null where it is over or the next look goes on. */
  waits: rolloutWaitSchema.nullable(),
  /** Failures that count, how many may be without a halt, and when the newest came to be known; null where none counts. */
  budget: z.object({ failures: count, allowed: count, newest: z.iso.datetime().nullable() }),
  counts,
  rings: z.array(rolloutRingSchema),
  moves: z.array(
    z.object({
      at: z.iso.datetime(),
      from: z.enum(ROLLOUT_STATES).nullable(),
      to: z.enum(ROLLOUT_STATES),
      cause: z.enum(ROLLOUT_CAUSES),
      reason: z.string().nullable(),
      by: z.string(),
    }),
  ),
});
export type RolloutView = z.infer<typeof rolloutViewSchema>;

/** GET /api/v1/operator/rollouts, newest first. */
export const rolloutListSchema = z.object({ items: z.array(rolloutViewSchema), next: z.string().nullable() });
export type RolloutList = z.infer<typeof rolloutListSchema>;

export const rolloutStackSchema = z.object({
  slug: slugSchema,
  engine: z.string(),
  from: z.string(),
  /** Null for what was skipped before rings were made. */
  ring: count.nullable(),
  state: z.enum(ROLLOUT_STACK_STATES),
  operationId: uuidSchema.nullable(),
  rollbackId: uuidSchema.nullable(),
  orderedAt: z.iso.datetime().nullable(),
  endedAt: z.iso.datetime().nullable(),
  /** For how long its address led to the waiting page. */
  outageMs: count.nullable(),
  why: z.enum(ROLLOUT_SKIPS).nullable(),
  reason: z.string().nullable(),
});
export type RolloutStack = z.infer<typeof rolloutStackSchema>;

/** GET /api/v1/operator/rollouts/{id}/stacks: rings in order, what was skipped last. */
export const rolloutReportSchema = z.object({ items: z.array(rolloutStackSchema), next: z.string().nullable() });
export type RolloutReport = z.infer<typeof rolloutReportSchema>;
