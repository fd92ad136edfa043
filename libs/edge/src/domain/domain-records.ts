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

/**
 * All addresses must be ours: an authority, like a browser, may take any of them. A name server that does not answer
 * says nothing about the owner's records, so it is told apart from a record that is not there.
 */
export function judgeRecords(
  records: DomainRecords,
  { challenge, authority }: { challenge: string; authority: string | null },
): Judgement {
  const { texts, addresses, ours, authorities } = records;
  const isOwned = 'failed' in texts ? null : texts.found.includes(challenge);
  const leadsHere =
    'failed' in addresses || 'failed' in ours
      ? null
      : addresses.found.length > 0 && addresses.found.every((address) => ours.found.includes(address));
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
  if ('failed' in addresses || 'failed' in ours) {
    return problem('DNS_FAILED', {
      reason: 'failed' in addresses ? addresses.failed : 'failed' in ours ? ours.failed : '',
    });
  }
  if (addresses.found.length === 0) {
    return problem('ADDRESS_MISSING');
  }
  if (!leadsHere) {
    return problem('ADDRESS_OTHER', {
      found: addresses.found.filter((address) => !ours.found.includes(address)).join(', '),
    });
  }
  if ('failed' in authorities) {
    return problem('DNS_FAILED', { reason: authorities.failed });
  }
  if (authority !== null && authorities.found !== null && !authorities.found.includes(authority)) {
    return problem('CAA_FORBIDS', { authority, found: authorities.found.join(', ') });
  }
  return { owned: isOwned, leadsHere, problem: null };
}
