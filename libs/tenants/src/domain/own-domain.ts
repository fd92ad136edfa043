import {
  DOMAIN_CHALLENGE_LABEL,
  DOMAIN_FORGOTTEN_DAYS,
  DOMAIN_PROOF_HOURS,
  type DomainProblem,
  type DomainRefusal,
  type DomainState,
  type DomainView,
} from '#libs/contracts';

/** What a claim's row says; times are instants. */
export interface OwnDomain {
  domain: string;
  challenge: string;
  verifiedAt: Date | null;
  certificateUntil: Date | null;
  problem: DomainProblem | null;
  problemParams: Record<string, string> | null;
  confirmedAt: Date | null;
  awaySince: Date | null;
  addresses: readonly string[];
  createdAt: Date;
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Names that nobody can own in public DNS (RFC 6761, 6762, 7686, 2606). */
const NOBODYS = ['localhost', 'local', 'invalid', 'onion', 'arpa'];

const within = (domain: string, zone: string): boolean => domain === zone || domain.endsWith(`.${zone}`);

/** Why a name in ASCII and lower case is not acceptable; null where it is. */
export function domainRefusal(domain: string, platform: readonly string[]): DomainRefusal | null {
  const labels = domain.split('.');
  if (domain.includes('*')) {
    return 'wildcard';
  }
  if (labels.length < 2) {
    return 'single_label';
  }
  // No top-level domain is a number, so a resolver would take such a name for an address.
  if (/^(\d+|0x[0-9a-f]*)$/.test(labels.at(-1) ?? '')) {
    return 'address';
  }
  if (domain.length > 253 || !labels.every((label) => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(label))) {
    return 'not_a_name';
  }
  if (NOBODYS.some((zone) => within(domain, zone))) {
    return 'reserved';
  }
  // Nor a zone above ours: its records would be those of the platform's own names.
  return platform.some((zone) => within(domain, zone) || within(zone, domain)) ? 'platform' : null;
}

export const REFUSAL_TEXT: Record<DomainRefusal, string> = {
  not_a_name: 'That is not a domain name. Write it like bot.example.org.',
  address: 'That is an address. A domain name is needed, like bot.example.org.',
  single_label: 'A domain name has at least two parts, like bot.example.org.',
  wildcard: 'One name at a time: a wildcard cannot be added.',
  reserved: 'Nobody can own that name in public DNS.',
  platform: 'That name belongs to this platform. Use one of your own.',
};

/** Where the ownership record is looked for. */
export const challengeName = (domain: string): string => `${DOMAIN_CHALLENGE_LABEL}.${domain}`;

type Proof = Pick<OwnDomain, 'verifiedAt' | 'certificateUntil' | 'confirmedAt' | 'awaySince'>;

/** Its proof and its addresses were seen to be right lately. */
export function isConfirmed(
  { verifiedAt, confirmedAt }: Pick<OwnDomain, 'verifiedAt' | 'confirmedAt'>,
  now: Date,
): boolean {
  return (
    verifiedAt !== null && confirmedAt !== null && now.getTime() - confirmedAt.getTime() <= DOMAIN_PROOF_HOURS * HOUR
  );
}

/**
 * Whether its owner may sign in there. Proven once is not enough: a domain can lapse and get another holder, who would
 * be handed the session.
 */
export function isTrusted(row: Proof, now: Date): boolean {
  const { certificateUntil, awaySince } = row;
  return isConfirmed(row, now) && awaySince === null && certificateUntil !== null && certificateUntil > now;
}

/** Away for so long that its proof is to be given anew. */
export const isForgotten = ({ awaySince }: Pick<OwnDomain, 'awaySince'>, now: Date): boolean =>
  awaySince !== null && now.getTime() - awaySince.getTime() >= DOMAIN_FORGOTTEN_DAYS * DAY;

export function domainState(row: OwnDomain, now: Date): DomainState {
  if (row.verifiedAt === null) {
    return 'waiting';
  }
  if (isTrusted(row, now)) {
    return 'live';
  }
  return domainProblem(row, now) === null ? 'issuing' : 'failing';
}

/** What was found at the last look, or that there was none for too long. */
export function domainProblem(row: OwnDomain, now: Date): DomainProblem | null {
  return row.problem ?? (row.verifiedAt !== null && !isConfirmed(row, now) ? 'PROOF_OLD' : null);
}

const PROBLEM_TEXT: Record<DomainProblem, (params: Readonly<Record<string, string>>) => string> = {
  DNS_FAILED: ({ reason = '' }) => `The domain’s name servers gave no answer (${reason}). It is asked again by itself.`,
  TXT_MISSING: () =>
    'The TXT record is not there. Set it at your DNS provider and leave it there; it can take an hour to be seen.',
  TXT_OTHER: () => 'There is a TXT record of another claim. Set the one shown here.',
  ADDRESS_MISSING: () => 'The domain leads nowhere yet. Set the CNAME record, or the address records in its place.',
  ADDRESS_OTHER: ({ found = '' }) =>
    `The domain leads elsewhere (${found}). Every address of it must be this platform’s; remove the others.`,
  CAA_FORBIDS: ({ authority = '', found = '' }) =>
    `A CAA record allows certificates of ${found === '' ? 'nobody' : found} only. Add one for ${authority}.`,
  TAKEN: () =>
    'The domain leads to another stack, whose TXT record is there. Remove it there, or remove that TXT record.',
  NO_AUTHORITY: () => 'This platform has no certificate authority that could vouch for your domain. Ask its operator.',
  ORDER_LATER: ({ next = '' }) => `The certificate authority was asked often enough for now; again at ${next}.`,
  ORDER_FAILED: ({ reason = '' }) => `The certificate authority did not issue: ${reason}`,
  PROOF_OLD: () =>
    'Its DNS was not seen to be right for a day, so nobody can sign in there. It is asked again by itself.',
};

export const domainMessage = (
  problem: DomainProblem | null,
  params: Readonly<Record<string, string>> | null,
): string | null => (problem === null ? null : PROBLEM_TEXT[problem](params ?? {}));

/** What the owner sets: the proof, and either a CNAME to the stack's host or address records, which an apex needs. */
export function recordsToSet({ domain, challenge, addresses }: OwnDomain, host: string): DomainView['records'] {
  return [
    { purpose: 'route', type: 'CNAME', name: domain, value: host },
    ...addresses.map((value) => ({
      purpose: 'route_instead' as const,
      type: value.includes(':') ? ('AAAA' as const) : ('A' as const),
      name: domain,
      value,
    })),
    { purpose: 'ownership', type: 'TXT', name: challengeName(domain), value: challenge },
  ];
}

/** A failed order counts, with the authority and with our own budget of four in half a day. */
const ORDER_PAUSES = [15 * MINUTE, HOUR, 3 * HOUR];

/** Until it is looked at again by itself: often while its owner is at it, then less and less. */
export function nextLookMs(
  row: Pick<OwnDomain, 'verifiedAt' | 'createdAt' | 'awaySince' | 'problem'> & { failedOrders: number },
  now: Date,
): number {
  if (row.problem === 'ORDER_FAILED') {
    return ORDER_PAUSES[Math.min(row.failedOrders, ORDER_PAUSES.length) - 1] ?? HOUR;
  }
  if (row.verifiedAt !== null && row.problem === null) {
    return HOUR;
  }
  return Math.min(pauseMs(row, now), row.verifiedAt === null ? DAY : HOUR);
}

function pauseMs(row: Pick<OwnDomain, 'createdAt' | 'awaySince'>, now: Date): number {
  const age = now.getTime() - (row.awaySince ?? row.createdAt).getTime();
  return age < HOUR ? MINUTE / 3 : age < DAY ? 5 * MINUTE : age < 14 * DAY ? HOUR : 6 * HOUR;
}
