import { z } from 'zod';
import { loginSchema } from './auth.js';
import { operationErrorSchema } from './operations.js';
import { uuidSchema } from './names.js';

/** asked (its download has not begun) → sending → sent (all of it was handed over), or failed: what there is is cut off. */
export const EXPORT_STATES = ['asked', 'sending', 'sent', 'failed'] as const;
export type ExportState = (typeof EXPORT_STATES)[number];
export const OPEN_EXPORT_STATES = ['asked', 'sending'] as const satisfies readonly ExportState[];

/** A download of a backup as an archive encrypted under its owner's passphrase, which is kept nowhere. */
export const exportViewSchema = z.object({
  id: uuidSchema,
  backup: uuidSchema,
  /** Of when its data is. */
  takenAt: z.iso.datetime(),
  state: z.enum(EXPORT_STATES),
  file: z.string(),
  askedAt: z.iso.datetime(),
  endedAt: z.iso.datetime().nullable(),
  /** Of the archive as it was sent; null before its end. */
  bytes: z.int().nullable(),
  error: operationErrorSchema.pick({ code: true, message: true }).nullable(),
});
export type ExportView = z.infer<typeof exportViewSchema>;

/** Who has a session may not have the password; what leaves the platform asks for it again. */
export const askExportSchema = z.strictObject({ backup: uuidSchema, password: loginSchema.shape.password });
export type AskExport = z.infer<typeof askExportSchema>;

/** `ticket`: good once and for two minutes, in the body of the request that gets the archive. */
export const exportAskedSchema = z.object({ export: exportViewSchema, ticket: z.string() });
export type ExportAsked = z.infer<typeof exportAskedSchema>;

/** What opens the archive. Everybody who has the file can try as many as they like, so a short one is none. */
export const PASSPHRASE_LEAST = 12;
export const passphraseSchema = z
  .string()
  .min(PASSPHRASE_LEAST, `Use at least ${PASSPHRASE_LEAST} characters.`)
  .max(200)
  .regex(/^[^\p{C}]*$/u, 'Use one line of printable characters.');

export const getExportSchema = z.strictObject({
  ticket: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
  passphrase: passphraseSchema,
});
export type GetExport = z.infer<typeof getExportSchema>;

/** POST /export of the agent's private port: the download's id, of which the row says that it was asked for and of what. */
export const sendExportSchema = z.strictObject({ export: uuidSchema, passphrase: passphraseSchema });

/** Base32 without what is mistaken for another when it is written down by hand (0 and o, 1 and l). */
const DIGITS = 'abcdefghijkmnpqrstuvwxyz23456789';
const GROUPS = 5;
const GROUP = 5;
export const PASSPHRASE_BYTES = GROUPS * GROUP;

/** A passphrase out of as many random bytes: 25 digits in groups, 125 bits. */
export function spelledPassphrase(random: Uint8Array): string {
  const digits = Array.from(random.subarray(0, PASSPHRASE_BYTES), (byte) => DIGITS[byte & 31]);
  return Array.from({ length: GROUPS }, (_unused, at) => digits.slice(at * GROUP, (at + 1) * GROUP).join('')).join('-');
}
