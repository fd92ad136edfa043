import { z } from 'zod';

/** A stack's public name and host label: `u` and six base32 digits (RFC 4648, lower case). */
export const SLUG_PATTERN = /^u[a-z2-7]{6}$/;
export const slugSchema = z.string().regex(SLUG_PATTERN, 'A stack name is u and six of a-z, 2-7.');
export type Slug = string;

export const uuidSchema = z.uuid();

/** A service name within a template: it becomes part of object names, labels, host aliases and route rules. */
export const serviceNameSchema = z.string().regex(/^[a-z][a-z0-9-]{0,30}$/);

/** An engine's name, which is part of a queue's and of a file's. */
export const engineIdSchema = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/, 'An engine’s name is 1 to 63 letters, digits, _ and -.');

/** What a person calls their stack; printable, one line, and never with `{{`, which Traefik would run. */
export const displayNameSchema = z
  .string()
  .trim()
  .min(1)
  .max(60)
  .regex(/^[^\p{C}<>]*$/u, 'Use printable characters, without < and >.')
  .refine((value) => !value.includes('{{'), 'Do not use {{.');

export const emailSchema = z
  .email()
  .max(254)
  .transform((value) => value.trim().toLowerCase());
export const usernameSchema = z
  .string()
  .trim()
  .toLowerCase()
  .regex(/^[a-z][a-z0-9_-]{2,31}$/, 'Use 3 to 32 of a-z, 0-9, _ and -, beginning with a letter.');
