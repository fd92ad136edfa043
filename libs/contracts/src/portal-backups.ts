import { z } from 'zod';
import { backupProgress } from './backups.js';
import { uuidSchema } from './names.js';

/**
 * A backup of the portal's own database: asked → taking (written out and stored at once) → stored (all of it lies in the
 * repository) → verified (restored from there into a database of its own, and every table is as it was counted).
 */
export const PORTAL_BACKUP_STATES = ['asked', 'taking', 'stored', 'verified', 'failed'] as const;
export type PortalBackupState = (typeof PORTAL_BACKUP_STATES)[number];
export const OPEN_PORTAL_BACKUP_STATES = ['asked', 'taking', 'stored'] as const satisfies readonly PortalBackupState[];

export const PORTAL_BACKUP_REASONS = ['schedule', 'manual'] as const;
export type PortalBackupReason = (typeof PORTAL_BACKUP_REASONS)[number];

export const portalBackupViewSchema = z.object({
  id: uuidSchema,
  state: z.enum(PORTAL_BACKUP_STATES),
  reason: z.enum(PORTAL_BACKUP_REASONS),
  askedBy: z.string(),
  askedAt: z.iso.datetime(),
  ...backupProgress,
  /** Id of the master key that its data keys are under, as the restored database said. */
  masterKey: z.string().nullable(),
});
export type PortalBackupView = z.infer<typeof portalBackupViewSchema>;

export const portalBackupsSchema = z.object({
  /** Newest first. */
  items: z.array(portalBackupViewSchema),
  next: z.null(),
  /** Of when the newest data is that is certain to come back; null while there is none. */
  verifiedUntil: z.iso.datetime().nullable(),
  /** What a person has to see to, a sentence each. */
  problems: z.array(z.string()),
});
export type PortalBackups = z.infer<typeof portalBackupsSchema>;

/** What became of each stack after the portal's database was recovered on a new host. */
export const recoveredStackSchema = z.object({
  slug: z.string(),
  /**
   * waiting: nothing was decided yet, and why says what was in the way; restoring, restored, failed: as its restore;
   * destroying, destroyed; nothing: why says.
   */
  state: z.enum(['waiting', 'restoring', 'restored', 'failed', 'destroying', 'destroyed', 'nothing']),
  /** Nothing is put back although there were backups and its data is not here. */
  lost: z.boolean(),
  /** Of when the data is that it gets or got. */
  takenAt: z.iso.datetime().nullable(),
  operationId: uuidSchema.nullable(),
  why: z.string().nullable(),
});
export type RecoveredStack = z.infer<typeof recoveredStackSchema>;

export const recoverySchema = z.object({
  id: uuidSchema,
  backup: uuidSchema,
  /** Of when the portal's data is. */
  takenAt: z.iso.datetime(),
  recoveredAt: z.iso.datetime(),
  /** When the last restore was ordered; null while the agent is at it. */
  orderedAt: z.iso.datetime().nullable(),
  stacks: z.array(recoveredStackSchema),
});
export type Recovery = z.infer<typeof recoverySchema>;
