import { z } from 'zod';
import { serviceNameSchema } from './names.js';

/** `[registry/]name[:tag][@sha256:…]`, or an image's id; what the engine makes of it is the engine's to say. */
const imageReferenceSchema = z
  .string()
  .max(300)
  .regex(
    /^(?:[a-z0-9][a-z0-9._/:-]*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?|sha256:[0-9a-f]{64})$/,
    'must be an image as the engine names it, such as aviary/runtime:1.8.0, or its id',
  );

/** Characters of what is new in a release. */
export const RELEASE_NOTES_MOST = 4_000;
const notesSchema = z
  .string()
  .trim()
  .max(RELEASE_NOTES_MOST)
  // A terminal obeys what is no text, and a database refuses the first of it.
  .regex(/^(?:[\t\n\r]|\P{Cc})*$/u, 'must be text');

/** A migration of the portal's database as its table `migrations` names it, such as `Releases1763700000002`. */
export const migrationNameSchema = z
  .string()
  .regex(/^[A-Z][A-Za-z]{0,80}\d{13}$/, 'must be the name of a migration, such as Stacks1763700000002');
export const releaseRequiresSchema = z.array(migrationNameSchema).max(20);

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
  /** Migrations of the portal's database that it needs; it is not offered before they were run. */
  requires: z.array(z.string()),
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

/**
 * A draft like a release that is there, with images of its own. References are what this host's engine knows an image
 * by (`name:tag`, `name@sha256:…`, `sha256:…`); services that are not named keep the images of `like`.
 */
export const makeReleaseSchema = z.strictObject({
  /** Id of a release. */
  like: z.string().min(1).max(200),
  version: z.string().regex(/^\d{1,6}\.\d{1,6}\.\d{1,6}$/, 'must be three numbers, such as 1.8.0'),
  images: z.record(serviceNameSchema, imageReferenceSchema).default({}),
  notes: notesSchema.default(''),
  requires: releaseRequiresSchema.default([]),
  /** Of its databases' images, where that is another one than that of `like`. */
  databaseMajor: z.int().min(10).max(99).optional(),
});
export type MakeRelease = z.infer<typeof makeReleaseSchema>;

export const releaseNotesSchema = z.strictObject({ notes: notesSchema });
export type ReleaseNotes = z.infer<typeof releaseNotesSchema>;

/** What of the newest releases a person has still to offer and promote. */
export interface WaitingRelease<R> {
  release: R;
  /** What is to be done with it next. */
  move: Extract<ReleaseMove, 'offer' | 'promote'>;
}

/** Of each template the newest release that is newer than all stable ones and not stable itself; `releases` newest first. */
export function waitingReleases<R extends Pick<ReleaseView, 'template' | 'state'>>(
  releases: readonly R[],
): WaitingRelease<R>[] {
  const decided = new Set<string>();
  const waiting: WaitingRelease<R>[] = [];
  for (const release of releases) {
    const { template, state } = release;
    if (decided.has(template) || state === 'withdrawn') {
      continue;
    }
    decided.add(template);
    if (state !== 'stable') {
      waiting.push({ release, move: state === 'draft' ? 'offer' : 'promote' });
    }
  }
  return waiting;
}

/**
 * What the agent is asked for, and answers: ids of images of its engine by reference, null where it has none, and major
 * versions of the PostgreSQL in them, null where an image says nothing of one.
 */
export const askImagesSchema = z.strictObject({ references: z.array(imageReferenceSchema).max(20) });
export const imagesAnswerSchema = z.object({
  ids: z.record(z.string(), z.string().nullable()),
  databaseMajors: z.record(z.string(), z.int().nullable()).default({}),
});
export type ImagesAnswer = z.infer<typeof imagesAnswerSchema>;

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
