import { z } from 'zod';
import { emailSchema, usernameSchema, uuidSchema } from './names.js';

/** NIST SP 800-63B §3.1.1: length over composition. bcrypt reads 72 bytes, so longer ones are refused, not cut. */
export const passwordSchema = z
  .string()
  .min(10, 'Use at least 10 characters.')
  .refine((value) => new TextEncoder().encode(value).length <= 72, 'Use at most 72 bytes.');

export const registerSchema = z.strictObject({
  email: emailSchema,
  username: usernameSchema,
  password: passwordSchema,
  /** The version of the risk disclaimer the person saw and accepted. */
  disclaimerVersion: z.string().max(20),
});
export type Register = z.infer<typeof registerSchema>;
export const verifyEmailSchema = z.strictObject({ token: z.string().regex(/^[A-Za-z0-9_-]{43}$/) });
export const resendSchema = z.strictObject({ email: emailSchema });
export const loginSchema = z.strictObject({
  identifier: z.string().trim().min(1).max(254),
  password: z.string().min(1).max(200),
});
export type Login = z.infer<typeof loginSchema>;

export const ACCOUNT_STATES = [
  'pending',
  'pending_api',
  'pending_approval',
  'rejected',
  'active',
  'suspended',
  'banned',
] as const;
export type AccountState = (typeof ACCOUNT_STATES)[number];
/** Who may hold a session: a suspended customer must still be able to look, pay and export. */
export const SIGN_IN_STATES: readonly AccountState[] = ['active', 'pending_api', 'pending_approval', 'suspended'];
export const ROLES = ['subscriber', 'operator'] as const;
export type Role = (typeof ROLES)[number];

export const meSchema = z.object({
  id: uuidSchema,
  email: z.string(),
  username: z.string(),
  role: z.enum(ROLES),
  state: z.enum(ACCOUNT_STATES),
  plan: z.string(),
  trialEndsAt: z.iso.datetime().nullable(),
  createdAt: z.iso.datetime(),
});
export type Me = z.infer<typeof meSchema>;

/** The refresh token travels only in a __Host- cookie; the access token is short-lived and kept in memory. */
export const accessSchema = z.object({ accessToken: z.string(), expiresIn: z.int(), me: meSchema });
export type Access = z.infer<typeof accessSchema>;
export const REFRESH_COOKIE = '__Host-aviary-refresh';
export const DEVICE_COOKIE = '__Host-aviary-device';

export const disclaimerSchema = z.object({
  version: z.string(),
  sha256: z.string(),
  title: z.string(),
  text: z.string(),
});
export type Disclaimer = z.infer<typeof disclaimerSchema>;

export const outboxMailSchema = z.object({
  id: uuidSchema,
  to: z.string(),
  subject: z.string(),
  text: z.string(),
  state: z.enum(['queued', 'sent', 'failed', 'kept']),
  attempts: z.int(),
  lastError: z.string().nullable(),
  createdAt: z.iso.datetime(),
  sentAt: z.iso.datetime().nullable(),
});
export type OutboxMail = z.infer<typeof outboxMailSchema>;
export const outboxListSchema = z.object({ items: z.array(outboxMailSchema), next: z.string().nullable() });

export const userListSchema = z.object({ items: z.array(meSchema), next: z.string().nullable() });
