import { z } from 'zod';

/** A stack has at most so many, waiting ones included. */
export const MOST_DOMAINS = 5;
/** The label before a domain at which its owner publishes the proof that it is theirs. */
export const DOMAIN_CHALLENGE_LABEL = '_aviary';
/** How each TXT record of a claim begins; what follows is the claim's own. */
export const DOMAIN_CHALLENGE_START = 'aviary-domain=';
/** So long may a domain lead elsewhere before operators are told. */
export const DOMAIN_AWAY_DAYS = 3;
/** So old may the last look be that saw the proof and every address, for anybody to sign in at a domain. */
export const DOMAIN_PROOF_HOURS = 24;
/** After so long the proof counts no more, and a new record is asked for. A domain that lapsed changes hands later. */
export const DOMAIN_FORGOTTEN_DAYS = 14;

/** As a person types it; the service says which are acceptable and keeps it as ASCII in lower case. */
export const addDomainSchema = z.strictObject({ domain: z.string().trim().min(1).max(253) });
export type AddDomain = z.infer<typeof addDomainSchema>;

/** A domain as it is kept: ASCII, punycode where it was not. */
export const domainNameSchema = z
  .string()
  .max(253)
  .regex(
    /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$/,
    'Write it like bot.example.org.',
  );

/** Why a domain is not accepted, in `details.reason` of VALIDATION_FAILED. */
export const DOMAIN_REFUSALS = ['not_a_name', 'address', 'single_label', 'wildcard', 'reserved', 'platform'] as const;
export type DomainRefusal = (typeof DOMAIN_REFUSALS)[number];

/** waiting: for its owner's DNS; issuing: its certificate is on its way; failing: nobody signs in there, and why. */
export const DOMAIN_STATES = ['waiting', 'issuing', 'live', 'failing'] as const;
export type DomainState = (typeof DOMAIN_STATES)[number];

/** What keeps a domain from being, or staying, live. */
export const DOMAIN_PROBLEMS = [
  'DNS_FAILED',
  'TXT_MISSING',
  'TXT_OTHER',
  'ADDRESS_MISSING',
  'ADDRESS_OTHER',
  'CAA_FORBIDS',
  'TAKEN',
  'NO_AUTHORITY',
  'ORDER_LATER',
  'ORDER_FAILED',
  'PROOF_OLD',
] as const;
export type DomainProblem = (typeof DOMAIN_PROBLEMS)[number];

export const domainViewSchema = z.object({
  domain: z.string(),
  url: z.url(),
  state: z.enum(DOMAIN_STATES),
  /** What is wrong and what to do; a live one may have one too, such as a renewal that waits. */
  problem: z.enum(DOMAIN_PROBLEMS).nullable(),
  problemParams: z.record(z.string(), z.string()).nullable(),
  message: z.string().nullable(),
  /** What to set at the domain's DNS provider: the ownership record, and one of the others. */
  records: z.array(
    z.object({
      purpose: z.enum(['ownership', 'route', 'route_instead']),
      type: z.enum(['TXT', 'CNAME', 'A', 'AAAA']),
      name: z.string(),
      value: z.string(),
    }),
  ),
  certificateUntil: z.iso.datetime().nullable(),
  verifiedAt: z.iso.datetime().nullable(),
  /** When DNS was last seen to be right, proof and addresses: nobody signs in there once that is a day ago. */
  confirmedAt: z.iso.datetime().nullable(),
  /** When DNS was last asked, and when it will be again by itself. */
  checkedAt: z.iso.datetime().nullable(),
  nextCheckAt: z.iso.datetime(),
  createdAt: z.iso.datetime(),
});
export type DomainView = z.infer<typeof domainViewSchema>;

export const domainListSchema = z.object({ items: z.array(domainViewSchema), next: z.null() });
export type DomainList = z.infer<typeof domainListSchema>;
