import { z } from 'zod';
import { ERROR_CODES, type ErrorCode } from './errors.js';
import { displayNameSchema, engineIdSchema, serviceNameSchema, slugSchema, uuidSchema } from './names.js';
import { operationViewSchema } from './operations.js';
import { stackWarningSchema } from './stack-warnings.js';
import { LAYER_STATUS, STACK_STATUS, type LayerStatus, type StackStatus } from './status.js';
import { STORE_CODES } from './stores.js';

export const DESIRED_STATES = ['running', 'stopped', 'hibernated', 'deleted'] as const;
export type DesiredState = (typeof DESIRED_STATES)[number];

export const HOLD_REASONS = ['billing', 'operator', 'disclaimer', 'exchange_key', 'breaker', 'verify_only'] as const;
export type HoldReason = (typeof HOLD_REASONS)[number];

/** Hard limits of one stack, from its owner's plan. Memory in MiB, CPU in cores, disk in GiB. */
export const stackLimitsSchema = z.object({
  cpus: z.number().positive().max(64),
  memoryMb: z.int().min(128),
  diskGb: z.int().min(1),
  pids: z.int().min(32),
  bots: z.int().min(1),
});
export type StackLimits = z.infer<typeof stackLimitsSchema>;

export const createStackSchema = z.strictObject({
  name: displayNameSchema.optional(),
  template: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,30}$/)
    .default('standard'),
});
export type CreateStack = z.infer<typeof createStackSchema>;

/** Why an operator holds a stack; its owner reads it. */
export const suspendStackSchema = z.strictObject({
  note: z
    .string()
    .trim()
    .min(1)
    .max(300)
    .regex(/^[^\p{C}<>]*$/u, 'Use one line of printable characters, without < and >.'),
});
export type SuspendStack = z.infer<typeof suspendStackSchema>;

/** To the limits of another plan, by its code; a subscriber's own plan is the only one they may name. */
export const resizeStackSchema = z.strictObject({
  plan: z.string().regex(/^[a-z][a-z0-9-]{0,30}$/, 'A plan has a short name such as pro.'),
});
export type ResizeStack = z.infer<typeof resizeStackSchema>;

/** Why a stack is not as wanted, where it is not the error of an operation or a probe. */
export const STACK_REASONS = [
  'NOT_RUNNING',
  'STILL_RUNNING',
  'CANCELLED_HALFWAY',
  'CRASH_LOOP',
  'OUT_OF_MEMORY',
  'REPAIRS_FAILED',
  'DISK_OVERRUN',
  ...STORE_CODES,
] as const;
export type StackReasonCode = ErrorCode | (typeof STACK_REASONS)[number];

/**
 * repair: it is repaired by itself, at that time or at the next look; person: nothing more is tried;
 * route: it works and only the platform's way to it does not, which is seen to instead of it;
 * look: it is looked at again by itself; visit, start, resume: it waits for that.
 */
export const STACK_NEXT = ['repair', 'person', 'route', 'look', 'visit', 'start', 'resume'] as const;
export const stackNextSchema = z.object({
  kind: z.enum(STACK_NEXT),
  at: z.iso.datetime().nullable(),
  /** Of a repair: the how-manieth it is, and after how many nothing more is tried. */
  attempt: z.object({ number: z.int(), of: z.int() }).nullable(),
});
export type StackNext = z.infer<typeof stackNextSchema>;

/** From the outside in: what a visitor meets first, and what it stands on. */
export const HEALTH_LAYERS = ['certificate', 'route', 'runtime', 'postgres', 'redis', 'containers', 'data'] as const;
export const healthLayerSchema = z.object({
  layer: z.enum(HEALTH_LAYERS),
  state: z.enum(Object.keys(LAYER_STATUS) as [LayerStatus, ...LayerStatus[]]),
});
export type HealthLayer = z.infer<typeof healthLayerSchema>;

export const stackViewSchema = z.object({
  id: uuidSchema,
  slug: slugSchema,
  name: z.string(),
  owner: z.string(),
  /** The host it is on, by the name of its engine. */
  engine: engineIdSchema,
  template: z.string(),
  release: z.string(),
  /** The newest stable release its owner could go to, running or not; null where there is none newer than its own. */
  upgrade: z.object({ release: z.string(), version: z.string() }).nullable(),
  /** Of its release; first the one that serves the dashboard, the others by name. */
  services: z.array(serviceNameSchema),
  dashboardUrl: z.url(),
  apiUrl: z.url(),
  desired: z.enum(DESIRED_STATES),
  holds: z.array(z.enum(HOLD_REASONS)),
  /** What the operator who suspended it wrote, for its owner; null without such a hold. */
  holdNote: z.string().nullable(),
  status: z.enum(Object.keys(STACK_STATUS) as [StackStatus, ...StackStatus[]]),
  /** Since when the status holds and when it was last looked at, through the proxy. */
  since: z.iso.datetime(),
  checkedAt: z.iso.datetime().nullable(),
  reason: z.string().nullable(),
  /** The same for pages in other languages: a stable code and what its text speaks of. Null where `reason` is. */
  reasonCode: z.enum([...ERROR_CODES, ...STACK_REASONS]).nullable(),
  reasonParams: z.record(z.string(), z.union([z.string(), z.number()])).nullable(),
  /** Each layer as the look of `checkedAt` found it; what lies behind one that fails could not be looked at. */
  layers: z.array(healthLayerSchema),
  /** What happens next; null while it runs, and while an operation is open, whose steps say it. */
  next: stackNextSchema.nullable(),
  /** What is to be known of it although it goes on. */
  warnings: z.array(stackWarningSchema),
  limits: stackLimitsSchema,
  /** Of whose backup it was made; null for one that began empty. */
  clonedFrom: z.object({ slug: slugSchema, takenAt: z.iso.datetime() }).nullable(),
  /** Since when nothing of it may trade, until that is allowed; null where it may. */
  tradingHeldSince: z.iso.datetime().nullable(),
  createdAt: z.iso.datetime(),
  openOperation: operationViewSchema.nullable(),
  /** The newest backup that was restored and checked, and whether the newest try failed; null before the first try. */
  backup: z
    .object({
      verifiedAt: z.iso.datetime().nullable(),
      /** Data as of then is certain to come back: of when its data is, or until when that was found unchanged. */
      takenAt: z.iso.datetime().nullable(),
      /** Until when a look found the stack's data as it holds it, restoring nothing; null where none did since. */
      sameUntil: z.iso.datetime().nullable(),
      failed: z.boolean(),
    })
    .nullable(),
  /** The newest heartbeat of the runtime, as it reported it; null before the first. */
  heartbeat: z
    .object({ at: z.iso.datetime(), bots: z.int(), runningBots: z.int(), openOrders: z.int(), equity: z.string() })
    .nullable(),
});
export type StackView = z.infer<typeof stackViewSchema>;
export const stackListSchema = z.object({ items: z.array(stackViewSchema), next: z.string().nullable() });
export type StackList = z.infer<typeof stackListSchema>;

/** What is answered (202) to a request that starts an operation. */
export const acceptedSchema = z.object({ stack: stackViewSchema, operation: operationViewSchema });
export type Accepted = z.infer<typeof acceptedSchema>;

/** Letting a copy trade is confirmed by naming it. */
export const allowTradingSchema = z.strictObject({ confirm: slugSchema });
export type AllowTrading = z.infer<typeof allowTradingSchema>;

/** Destroying is confirmed by naming the stack. */
export const destroyStackSchema = z.strictObject({ confirm: slugSchema });
