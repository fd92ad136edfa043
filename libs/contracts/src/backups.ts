import { z } from 'zod';
import { exportViewSchema } from './exports.js';
import { operationErrorSchema, operationViewSchema } from './operations.js';
import { engineIdSchema, slugSchema, uuidSchema } from './names.js';
import { createStackSchema } from './stacks.js';

/**
 * taking → dumped (the database was written out whole) → stored (all of it lies in the repository and was read back) →
 * verified (restored from there, and every table has as many rows as when it was taken). Only the last counts as a
 * backup. failed: it never will.
 */
export const BACKUP_STATES = ['taking', 'dumped', 'stored', 'verified', 'failed'] as const;
export type BackupState = (typeof BACKUP_STATES)[number];

/** Why it was taken: by the clock, by a person, or before something risky. */
export const BACKUP_REASONS = ['schedule', 'manual', 'safety'] as const;
export type BackupReason = (typeof BACKUP_REASONS)[number];

/** Why nothing can be read from a stack's database: it does not run, or it is empty where its data should be. */
export const BACKUP_PROBLEMS = ['not_running', 'data_missing'] as const;
export type BackupProblem = (typeof BACKUP_PROBLEMS)[number];

/** How far a backup is, with its figures; of a stack's and of the portal's own. */
export const backupProgress = {
  /** Of when its data is: the moment of its snapshot; null before there is one. */
  takenAt: z.iso.datetime().nullable(),
  storedAt: z.iso.datetime().nullable(),
  verifiedAt: z.iso.datetime().nullable(),
  /** Bytes of its parts, and by how many the repository grew. */
  bytes: z.int().nullable(),
  addedBytes: z.int().nullable(),
  tables: z.int().nullable(),
  rows: z.int().nullable(),
  /** Why it failed, or could not be verified yet. */
  error: operationErrorSchema.pick({ code: true, message: true }).nullable(),
};

export const backupViewSchema = z.object({
  id: uuidSchema,
  slug: slugSchema,
  operationId: uuidSchema,
  state: z.enum(BACKUP_STATES),
  reason: z.enum(BACKUP_REASONS),
  /** Of the stack when it was taken. */
  release: z.string(),
  ...backupProgress,
  /** Until when the stack was looked at and had the same data, so that no other was needed; null while nobody did. */
  sameUntil: z.iso.datetime().nullable(),
  begunAt: z.iso.datetime(),
  dumpedAt: z.iso.datetime().nullable(),
  /** Whether the last of what its services logged is in it. */
  logs: z.boolean(),
  /** Rows by table, those outside of the schema `public` by `schema.table`. */
  counts: z.record(z.string(), z.int()).nullable(),
  /** Kept whatever retention says: taken before a restore or an upgrade, and not older than a week. */
  held: z.boolean(),
});
export type BackupView = z.infer<typeof backupViewSchema>;

/** What a person counts a loss in. */
export const LOST_THINGS = ['fills', 'orders', 'bots'] as const;
export type LostThing = (typeof LOST_THINGS)[number];

const lostSchema = z.array(z.object({ what: z.enum(LOST_THINGS), count: z.int() }));

/** What a later count of the same stack has more than that backup. Empty where one of them was not counted. */
export function countedLoss(
  chosen: Pick<BackupView, 'counts'>,
  later: Pick<BackupView, 'counts'> | undefined,
): z.infer<typeof lostSchema> {
  return LOST_THINGS.map((what) => ({
    what,
    count: (later?.counts?.[what] ?? 0) - (chosen.counts?.[what] ?? 0),
  })).filter(({ count }) => chosen.counts !== null && count > 0);
}

/** GET /counts?stack=ID of the agent's private port, answered with PresentCounts. */
export const askCountsSchema = z.strictObject({ stack: uuidSchema });
/** Rows of what a loss is counted in, in the stack's own database at that moment; without tables it does not have. */
export const presentCountsSchema = z.object({
  at: z.iso.datetime(),
  counts: z.partialRecord(z.enum(LOST_THINGS), z.int().min(0)),
});
export type PresentCounts = z.infer<typeof presentCountsSchema>;

/** GET /api/v1/stacks/{slug}/backups/{id}/loss: what putting that backup in the place of the stack's data loses. */
export const restoreLossSchema = z.object({
  /** What there is more than the backup holds. Empty where that is nothing, and where `countedAt` is null. */
  lost: lostSchema,
  /** Of when the data is that the backup is compared with; null where that, or the backup, was not counted. */
  countedAt: z.iso.datetime().nullable(),
  /**
   * Whether that is what is in the stack's own database, counted for this answer. Otherwise it is its newest verified
   * backup: what came after that is lost too, and not counted.
   */
  now: z.boolean(),
});
export type RestoreLoss = z.infer<typeof restoreLossSchema>;

/** The loss by what is there now, or where that could not be counted (null) by the stack's newest verified backup. */
export function restoreLoss(
  chosen: Pick<BackupView, 'counts'>,
  present: PresentCounts | null,
  newest: Pick<BackupView, 'counts' | 'takenAt'> | undefined,
): RestoreLoss {
  const later = present ?? { at: newest?.takenAt ?? null, counts: newest?.counts ?? null };
  return {
    lost: countedLoss(chosen, later),
    countedAt: chosen.counts === null || later.counts === null ? null : later.at,
    now: present !== null && chosen.counts !== null,
  };
}

/** What a restore took the place of is still there, and the stack can go back to it. */
export const keptDataSchema = z.object({
  /** Since when the stack lives on the other data: what it did since then would be lost. */
  since: z.iso.datetime(),
  /** Of when the data is that was put in place; null where it was the kept data of an earlier restore. */
  restored: z.iso.datetime().nullable(),
  /** What the kept data has more than what was put in place, as the backups of both count it. */
  comesBack: lostSchema,
});
export type KeptData = z.infer<typeof keptDataSchema>;

/** Of the backup by which a stack's data is certain to come back. */
const checkedFields = {
  /** When it was restored and checked; null while none was. */
  verifiedAt: z.iso.datetime().nullable(),
  /** Until when a look found the stack's data as it holds it, restoring nothing; null where none did since. */
  sameUntil: z.iso.datetime().nullable(),
};

export const backupListSchema = z.object({
  /** Newest first. */
  items: z.array(backupViewSchema),
  next: z.string().nullable(),
  /** Data as of then is certain to come back; null while nothing was verified. */
  verifiedUntil: z.iso.datetime().nullable(),
  ...checkedFields,
  /** What is under way on the stack's backups. */
  open: operationViewSchema.nullable(),
  /** Why none can be taken at the moment; null where one can. */
  problem: z.enum(BACKUP_PROBLEMS).nullable(),
  /** Whether a restore would back up first what it takes the place of. */
  safeguards: z.boolean(),
  /** Until the next good backup; null where nothing is kept. */
  kept: keptDataSchema.nullable(),
  /** The newest download of one of them as an archive, for a day. */
  export: exportViewSchema.nullable(),
});
export type BackupList = z.infer<typeof backupListSchema>;

export const backupAcceptedSchema = z.object({ backup: backupViewSchema.nullable(), operation: operationViewSchema });
export type BackupAccepted = z.infer<typeof backupAcceptedSchema>;

/** Of a stack, for operators: how old the data is that is certain to come back, and what became of the newest try. */
export const stackBackupsSchema = z.object({
  slug: slugSchema,
  name: z.string(),
  owner: z.string(),
  verifiedUntil: z.iso.datetime().nullable(),
  ...checkedFields,
  /** Since then; null where nothing was verified. */
  ageSeconds: z.int().min(0).nullable(),
  /** How old it may be while the stack runs, as its plan has it. */
  maxAgeSeconds: z.int().min(0),
  newest: backupViewSchema.nullable(),
});
export type StackBackups = z.infer<typeof stackBackupsSchema>;

/** Action of the audit entry under which the password of a stack's repository is given out, and by which alone it is. */
export const PASSWORD_READ = 'stack.backup.password';
/** POST /repository-password of the agent's private port: that entry. Answered with RepositoryPassword. */
export const readPasswordSchema = z.strictObject({ audit: uuidSchema });
export const repositoryPasswordSchema = z.strictObject({ password: z.string().min(1) });
export type RepositoryPassword = z.infer<typeof repositoryPasswordSchema>;

/** What a plan keeps no longer, and the next prune removes. */
export const expiredBackupsSchema = z.object({
  items: z.array(
    z.object({
      id: uuidSchema,
      slug: slugSchema,
      /** Of when its data is; where it never had any, when it was begun. */
      at: z.iso.datetime(),
      state: z.enum(BACKUP_STATES),
      reason: z.enum(BACKUP_REASONS),
      addedBytes: z.int(),
    }),
  ),
  next: z.null(),
});
export type ExpiredBackups = z.infer<typeof expiredBackupsSchema>;

/** GET /api/v1/operator/backups */
export const fleetBackupsSchema = z.object({
  at: z.iso.datetime(),
  /** Of all stacks: fresh ones are no older than their plans allow; of failed ones the newest try failed. */
  counts: z.object({ stacks: z.int(), fresh: z.int(), never: z.int(), failed: z.int() }),
  /** Those without any first, then by age, the oldest first. */
  items: z.array(stackBackupsSchema),
  next: z.string().nullable(),
});
export type FleetBackups = z.infer<typeof fleetBackupsSchema>;

/** Takes a backup; with the last 16 MiB of what each of the stack's services logged, where that is asked for. */
export const takeBackupSchema = z.strictObject({ logs: z.boolean().optional() }).prefault({});
export type TakeBackup = z.infer<typeof takeBackupSchema>;

/** Puts the data of that backup in the place of the stack's; what came after it is lost, so the stack is named. */
export const restoreStackSchema = z.strictObject({ backup: uuidSchema, confirm: slugSchema });
export type RestoreStack = z.infer<typeof restoreStackSchema>;

/** Goes back to what a restore took the place of; what came since is lost, so the stack is named. */
export const undoRestoreSchema = z.strictObject({ confirm: slugSchema });
export type UndoRestore = z.infer<typeof undoRestoreSchema>;

/** Makes a new stack of the same owner out of that backup; nothing of it trades until that is allowed. */
export const cloneStackSchema = z.strictObject({
  backup: uuidSchema,
  name: createStackSchema.shape.name,
  /** On which engine; that of the stack unless an operator names another. */
  engine: engineIdSchema.optional(),
});
export type CloneStack = z.infer<typeof cloneStackSchema>;
