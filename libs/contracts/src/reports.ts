import { z } from 'zod';
import { uuidSchema } from './names.js';

/**
 * POST /api/v1/runtime/reports: a batch from a stack's outbox. Authenticated by a compact JWS (EdDSA, the stack's
 * key) in the Authorization header as `Stack <jws>` with claims { iss: tenant id, aud: 'aviary-reports', iat,
 * exp ≤ 60 s, bodySha256: base64url }. The portal stores each id once, so a repeated batch changes nothing.
 */
export const reportSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    id: uuidSchema,
    kind: z.literal('heartbeat'),
    at: z.iso.datetime(),
    bots: z.int(),
    runningBots: z.int(),
    openOrders: z.int(),
    equity: z.string().max(40),
  }),
  z.strictObject({
    id: uuidSchema,
    kind: z.literal('event'),
    at: z.iso.datetime(),
    /** Such as `bot.started`, `bot.error`, `bot.finished`. */
    event: z.string().max(60),
    bot: uuidSchema.nullable(),
    text: z.string().max(500),
  }),
]);
export type Report = z.infer<typeof reportSchema>;
export const reportBatchSchema = z.strictObject({ reports: z.array(reportSchema).min(1).max(100) });
export const reportBatchResponseSchema = z.object({ stored: z.array(uuidSchema) });
