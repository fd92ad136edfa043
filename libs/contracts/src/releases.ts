import { z } from 'zod';

/**
 * draft → candidate (operators may upgrade stacks to it) → stable (new stacks are made of the newest one) → withdrawn
 * (no stack goes there any more; those on it stay).
 */
export const RELEASE_STATES = ['draft', 'candidate', 'stable', 'withdrawn'] as const;
export type ReleaseState = (typeof RELEASE_STATES)[number];

/** What an operator may do with a release: from which states, and what it is then. Mended, a withdrawn one comes back. */
export const RELEASE_MOVES = {
  offer: { from: ['draft', 'withdrawn'], to: 'candidate' },
  promote: { from: ['candidate'], to: 'stable' },
  withdraw: { from: ['draft', 'candidate', 'stable'], to: 'withdrawn' },
} as const satisfies Record<string, { from: readonly ReleaseState[]; to: ReleaseState }>;
export type ReleaseMove = keyof typeof RELEASE_MOVES;

const MOVES = Object.keys(RELEASE_MOVES) as ReleaseMove[];

export function releaseMoves(state: ReleaseState): ReleaseMove[] {
  return MOVES.filter((move) => RELEASE_MOVES[move].from.some((from) => from === state));
}

export const releaseViewSchema = z.object({
  /** `<template>@<version>+<digest>` */
  id: z.string(),
  template: z.string(),
  version: z.string(),
  state: z.enum(RELEASE_STATES),
  notes: z.string(),
  /** Image id by service. */
  images: z.record(z.string(), z.string()),
  createdAt: z.iso.datetime(),
  /** PostgreSQL's major version in it; a stack that goes to another one's release has its data carried. */
  databaseMajor: z.int(),
  /** Stacks that are made of it now. */
  stacks: z.int(),
  /** Stacks on which an upgrade to it failed and that are not tried again. */
  failed: z.int(),
});
export type ReleaseView = z.infer<typeof releaseViewSchema>;

export const releaseListSchema = z.object({ items: z.array(releaseViewSchema), next: z.string().nullable() });
export type ReleaseList = z.infer<typeof releaseListSchema>;

/** To a release by id; without one, to the newest stable one of the stack's template. */
export const upgradeStackSchema = z.strictObject({ release: z.string().min(1).max(200).optional() });
export type UpgradeStack = z.infer<typeof upgradeStackSchema>;

/** Why a stack is not upgraded to a release. */
export const UPGRADE_PROBLEMS = [
  'same',
  'withdrawn',
  'draft',
  'incompatible',
  'trading_held',
  'failed_before',
  'not_running',
] as const;
export type UpgradeProblem = (typeof UPGRADE_PROBLEMS)[number];
