import { z } from 'zod';
import { uuidSchema, slugSchema } from './names.js';
import { ERROR_CODES } from './errors.js';

export const OPERATION_KINDS = [
  'provision',
  'start',
  'stop',
  'restart',
  'destroy',
  'suspend',
  'resume',
  'hibernate',
  'wake',
  'resize',
  'rotate_secrets',
  'repair',
  'backup',
  'restore',
  'upgrade',
  'rollback',
  'prune',
  'undo_restore',
  'clone',
] as const;
export type OperationKind = (typeof OPERATION_KINDS)[number];

export const OPERATION_STATES = ['queued', 'running', 'done', 'failed', 'cancelled'] as const;
export type OperationState = (typeof OPERATION_STATES)[number];
export const OPEN_OPERATION_STATES: readonly OperationState[] = ['queued', 'running'];

export const STEP_STATES = ['pending', 'running', 'done', 'failed', 'skipped'] as const;
export type StepState = (typeof STEP_STATES)[number];

/** One phase of an operation, known before it starts, or one action within a phase, logged as it runs. */
export const stepViewSchema = z.object({
  seq: z.int(),
  phase: z.string(),
  /** null for the phase itself; else what was done, such as `create container`. */
  action: z.string().nullable(),
  /** What it was done to, such as the service's name. */
  target: z.string().nullable(),
  state: z.enum(STEP_STATES),
  startedAt: z.iso.datetime().nullable(),
  finishedAt: z.iso.datetime().nullable(),
  detail: z.string().nullable(),
});
export type StepView = z.infer<typeof stepViewSchema>;

export const operationErrorSchema = z.object({
  code: z.enum(ERROR_CODES as [string, ...string[]]),
  message: z.string(),
  errorId: z.string(),
  details: z.record(z.string(), z.unknown()),
});

export const operationViewSchema = z.object({
  id: uuidSchema,
  stackId: uuidSchema,
  slug: slugSchema,
  kind: z.enum(OPERATION_KINDS),
  state: z.enum(OPERATION_STATES),
  /** True when it runs past its deadline. */
  overdue: z.boolean(),
  requestedBy: z.string(),
  createdAt: z.iso.datetime(),
  startedAt: z.iso.datetime().nullable(),
  finishedAt: z.iso.datetime().nullable(),
  /** Median of the last runs of this kind, in milliseconds; null before there are three. */
  usualMs: z.int().nullable(),
  /** For how long the stack's address led to the waiting page; null where it did not, or does not lead back yet. */
  outageMs: z.int().nullable(),
  steps: z.array(stepViewSchema),
  error: operationErrorSchema.nullable(),
});
export type OperationView = z.infer<typeof operationViewSchema>;
export const operationListSchema = z.object({ items: z.array(operationViewSchema), next: z.string().nullable() });
export type OperationList = z.infer<typeof operationListSchema>;
