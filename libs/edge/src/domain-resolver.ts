import type { CaaRecord } from 'node:dns';
import { Resolver } from 'node:dns/promises';
import type { Answer, DomainRecords } from './domain/domain-records.js';

/** Of one question; it is asked twice, and waited for longer the second time. */
const TIMEOUT_MS = 2_000;
const TRIES = 2;
/** Of all questions of one look, which few others can be made beside. */
const LOOK_MS = 12_000;
/** What says that there is no such record, as against a name server that does not answer or is broken. */
const ABSENT = new Set(['ENOTFOUND', 'ENODATA']);

export interface DomainNames {
  domain: string;
  /** Where its TXT record is looked for. */
  ownership: string;
  /** A name of ours that leads to this platform. */
  ours: string;
}

/**
 * Asks DNS by c-ares in this process, with an end to each question and to all of them together: the system's resolver
 * cannot be interrupted and would, while somebody's name server is silent, keep the agent from finding its own database
 * again; and a name of a hundred parts has as many zones whose servers may take their time.
 */
export async function readDomainRecords(
  { domain, ownership, ours }: DomainNames,
  dnsServers?: readonly string[],
  deadlineMs = LOOK_MS,
): Promise<DomainRecords> {
  const resolver = resolverOf(dnsServers);
  let over = false;
  const end = setTimeout(() => {
    over = true;
    resolver.cancel();
  }, deadlineMs);
  const ask: Ask = async (question) => {
    const told = over ? { failed: 'ETIMEOUT' } : await answer(question(resolver));
    // What was cut off is called so by c-ares, and is silence all the same.
    return over && 'failed' in told ? { failed: 'ETIMEOUT' } : told;
  };
  const addresses = async (name: string): Promise<Answer<string[]>> =>
    both(await ask((dns) => dns.resolve4(name)), await ask((dns) => dns.resolve6(name)));
  try {
    const [texts, own, platform, authorities] = await Promise.all([
      ask((dns) => dns.resolveTxt(ownership)),
      addresses(domain),
      addresses(ours),
      nearestAuthorities(ask, domain),
    ]);
    return {
      texts: 'failed' in texts ? texts : { found: texts.found.map((parts) => parts.join('').trim()) },
      addresses: own,
      ours: platform,
      authorities,
    };
  } finally {
    clearTimeout(end);
  }
}

/** IPv4 and IPv6 addresses of a name, each as its own answer. */
export async function readAddresses(
  name: string,
  dnsServers?: readonly string[],
): Promise<[Answer<string[]>, Answer<string[]>]> {
  const resolver = resolverOf(dnsServers);
  return Promise.all([answer(resolver.resolve4(name)), answer(resolver.resolve6(name))]);
}

function resolverOf(dnsServers: readonly string[] | undefined): Resolver {
  const resolver = new Resolver({ timeout: TIMEOUT_MS, tries: TRIES });
  if (dnsServers) {
    resolver.setServers([...dnsServers]);
  }
  return resolver;
}

type Ask = <T>(question: (dns: Resolver) => Promise<T[]>) => Promise<Answer<T[]>>;

async function answer<T>(asked: Promise<T[]>): Promise<Answer<T[]>> {
  try {
    return { found: await asked };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code !== undefined && ABSENT.has(code) ? { found: [] } : { failed: code ?? String(error) };
  }
}

/** Both families or nothing: an address of ours beside one that was not seen would be half the truth. */
export function both(first: Answer<string[]>, second: Answer<string[]>): Answer<string[]> {
  if ('failed' in first || 'failed' in second) {
    return 'failed' in first ? first : second;
  }
  return { found: [...first.found, ...second.found] };
}

/** The set of the name itself or of the nearest parent that has one (RFC 8659 §3). */
async function nearestAuthorities(ask: Ask, domain: string): Promise<Answer<string[] | null>> {
  const labels = domain.split('.');
  for (let from = 0; from < labels.length; from += 1) {
    const records = await ask<CaaRecord>((dns) => dns.resolveCaa(labels.slice(from).join('.')));
    if ('failed' in records) {
      return records;
    }
    if (records.found.length > 0) {
      const named = records.found.flatMap(({ issue }) => (issue === undefined ? [] : [issue]));
      return { found: named.length === 0 ? null : named.map((value) => (value.split(';')[0] ?? '').trim()) };
    }
  }
  return { found: null };
}
