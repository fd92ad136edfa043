import type { LookupAddress } from 'node:dns';
import { Resolver } from 'node:dns/promises';
import { readFile } from 'node:fs/promises';
import { isIP, type LookupFunction } from 'node:net';
import { callbackify } from 'node:util';

const HOSTS = '/etc/hosts';
/** Of one question; it is asked twice, and waited for longer the second time. */
const TIMEOUT_MS = 2_000;

/**
 * Addresses of names outside the stack: from the hosts file, else asked of the name server by this process itself. The
 * system's own resolver, Node's default, cannot be interrupted and has two threads here: while a name server is silent,
 * its questions would keep the stack from finding its own database again, and the process from ending.
 */
export class Names {
  private readonly resolver = new Resolver({ timeout: TIMEOUT_MS, tries: 2 });

  readonly lookup: LookupFunction = (host, { all }, done) => {
    callbackify(() => this.find(host))((error, found) => {
      const [first] = error ? [] : found;
      if (all || !first) {
        done(error, error ? [] : found);
      } else {
        done(null, first.address, first.family);
      }
    });
  };

  /** At least one address. Throws ENOTFOUND, ETIMEOUT and other codes of node:dns. */
  private async find(host: string): Promise<LookupAddress[]> {
    const listed = addressesIn(await readFile(HOSTS, 'utf8'), host);
    if (listed.length > 0) {
      return listed.map(addressOf);
    }
    const answers = await Promise.allSettled([this.resolver.resolve4(host), this.resolver.resolve6(host)]);
    const found = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
    const [failed] = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason as Error] : []));
    if (found.length === 0 && failed) {
      throw failed;
    }
    return found.map(addressOf);
  }

  /** Questions under way fail. */
  close(): void {
    this.resolver.cancel();
  }
}

const addressOf = (address: string): LookupAddress => ({ address, family: isIP(address) });

/** See hosts(5). */
export function addressesIn(hosts: string, host: string): string[] {
  return hosts.split('\n').flatMap((line) => {
    const [address = '', ...names] = line.replace(/#.*/, '').trim().split(/\s+/);
    return isIP(address) !== 0 && names.some((name) => name.toLowerCase() === host.toLowerCase()) ? [address] : [];
  });
}
