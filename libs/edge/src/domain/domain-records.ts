import { DOMAIN_CHALLENGE_START, type DomainProblem } from '#libs/contracts';

/** What DNS says about a customer's domain. `failed`: a name server did not answer, so nothing is known. */
export type Answer<T> = { found: T } | { failed: string };

export interface DomainRecords {
  /** Of the ownership name. */
  texts: Answer<readonly string[]>;
  addresses: Answer<readonly string[]>;
  /** Where the stack's own host leads: the addresses of this platform as the world sees them. */
  ours: Answer<readonly string[]>;
  /** Authorities named by the nearest CAA set (RFC 8659); null where nobody is excluded. */
  authorities: Answer<readonly string[] | null>;
}

export interface Judgement {
  /** The TXT record of this claim is there; null where that could not be seen. */
  owned: boolean | null;
  /** All its addresses are ours; null where that could not be seen. */
  leadsHere: boolean | null;
  /** The first thing to be put right, in the order in which an owner would. */
  problem: { code: DomainProblem; params: Record<string, string> } | null;
}

/** What keeps a name from leading to us. */
export type AddressProblem =
  | { code: 'DNS_FAILED'; params: { reason: string } }
  | { code: 'ADDRESS_MISSING'; params: Record<string, never> }
  | { code: 'ADDRESS_OTHER'; params: { found: string } };

/** All addresses must be ours: an authority, like a browser, may take any of them. Null where they are. */
export function judgeAddresses(
  addresses: Answer<readonly string[]>,
  ours: Answer<readonly string[]>,
): AddressProblem | null {
  if ('failed' in addresses || 'failed' in ours) {
    const reason = 'failed' in addresses ? addresses.failed : 'failed' in ours ? ours.failed : '';
    return { code: 'DNS_FAILED', params: { reason } };
  }
  if (addresses.found.length === 0) {
    return { code: 'ADDRESS_MISSING', params: {} };
  }
  const others = addresses.found.filter((address) => !ours.found.includes(address));
  return others.length === 0 ? null : { code: 'ADDRESS_OTHER', params: { found: others.join(', ') } };
}

/**
 * A name server that does not answer says nothing about the owner's records, so it is told apart from a record that is
 * not there.
 */
export function judgeRecords(
  records: DomainRecords,
  { challenge, authority }: { challenge: string; authority: string | null },
): Judgement {
  const { texts, addresses, ours, authorities } = records;
  const isOwned = 'failed' in texts ? null : texts.found.includes(challenge);
  const astray = judgeAddresses(addresses, ours);
  const leadsHere = astray?.code === 'DNS_FAILED' ? null : astray === null;
  const problem = (code: DomainProblem, params: Record<string, string> = {}): Judgement => ({
    owned: isOwned,
    leadsHere,
    problem: { code, params },
  });
  // At every look: who gets a domain that lapsed can lead it here as well, and only the record tells them apart.
  if ('failed' in texts) {
    return problem('DNS_FAILED', { reason: texts.failed });
  }
  if (!isOwned) {
    return texts.found.some((text) => text.startsWith(DOMAIN_CHALLENGE_START))
      ? problem('TXT_OTHER')
      : problem('TXT_MISSING');
  }
  if (astray) {
    return problem(astray.code, astray.params);
  }
  if ('failed' in authorities) {
    return problem('DNS_FAILED', { reason: authorities.failed });
  }
  if (authority !== null && authorities.found !== null && !authorities.found.includes(authority)) {
    return problem('CAA_FORBIDS', { authority, found: authorities.found.join(', ') });
  }
  return { owned: isOwned, leadsHere, problem: null };
}
