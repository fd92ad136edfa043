import { z } from 'zod';
import { slugSchema } from './names.js';

/** How far back a chart goes; a longer one has coarser points. */
export const USAGE_RANGES = ['hour', 'day', 'week', 'month', 'year'] as const;
export type UsageRange = (typeof USAGE_RANGES)[number];

const bytes = z.int().min(0);

/** One span of a chart, named by its beginning. CPU in cores. Null: not measured then. */
export const usagePointSchema = z.object({
  at: z.iso.datetime(),
  cpu: z.number().nullable(),
  memoryBytes: bytes,
  memoryMaxBytes: bytes,
  diskBytes: bytes.nullable(),
  /** Over the span, with visitors and the internet; talk between a stack's own services is not counted. */
  receivedBytes: bytes.nullable(),
  sentBytes: bytes.nullable(),
});
export type UsagePoint = z.infer<typeof usagePointSchema>;

export const USAGE_RESOURCES = ['cpu', 'memory', 'disk'] as const;
/** `warn` from 80 % of a limit on, `bad` from 95 %. Memory of one service is held against that service's own limit. */
export const usageAlertSchema = z.object({
  resource: z.enum(USAGE_RESOURCES),
  level: z.enum(['warn', 'bad']),
  percent: z.int(),
  service: z.string().nullable(),
});
export type UsageAlert = z.infer<typeof usageAlertSchema>;

export const serviceUseSchema = z.object({
  service: z.string(),
  cpu: z.number().nullable(),
  memoryBytes: bytes,
  memoryLimitBytes: bytes.nullable(),
  /** Since its container was made. */
  oomKills: z.int().min(0),
  pids: z.int().min(0),
});
export type ServiceUse = z.infer<typeof serviceUseSchema>;

/** Memory that only grows: at this pace the service reaches its limit after `hoursLeft`. */
export const memoryGrowthSchema = z.object({
  service: z.string(),
  bytesPerHour: z.int(),
  hoursLeft: z.number().min(0),
});
export type MemoryGrowth = z.infer<typeof memoryGrowthSchema>;

const seriesShape = {
  range: z.enum(USAGE_RANGES),
  /** Length of a point's span. */
  stepSeconds: z.int(),
  /** Oldest first; spans in which nothing was measured are missing. */
  points: z.array(usagePointSchema),
  alerts: z.array(usageAlertSchema),
};

/** GET /api/v1/stacks/:slug/usage */
export const stackUsageSchema = z.object({
  slug: slugSchema,
  ...seriesShape,
  limits: z.object({ cpus: z.number(), memoryBytes: bytes, diskBytes: bytes }),
  /** The newest measurement not older than five minutes. Disk is measured every quarter of an hour. */
  latest: usagePointSchema.nullable(),
  services: z.array(serviceUseSchema),
  growth: z.array(memoryGrowthSchema),
});
export type StackUsage = z.infer<typeof stackUsageSchema>;

/** GET /api/v1/operator/hosts/usage */
export const hostUsageSchema = z.object({
  items: z.array(
    z.object({
      engine: z.string(),
      ...seriesShape,
      limits: z.object({ cpus: z.number(), memoryBytes: bytes, diskBytes: bytes }).nullable(),
      latest: usagePointSchema.nullable(),
    }),
  ),
});
export type HostUsage = z.infer<typeof hostUsageSchema>;
