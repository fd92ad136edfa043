import { join } from 'node:path';
import { type PemPair, certificateProblems, createAuthority, issueLeaf, localCertificateNames } from '#libs/crypto';
import type { CertificateOptions } from './options.js';
import { CERTIFICATES, MODE, readPair, readText, servePair, writeWhole } from './files.js';

/**
 * The authority of this installation, made once. A new one is made when it nears its end, when it does not read, or
 * when the domains it is constrained to are no longer the platform's.
 */
async function localAuthority({ dataDir, portalDomain, tenantDomain, now }: CertificateOptions): Promise<PemPair> {
  const directory = join(dataDir, 'ca');
  const domains = [...new Set([portalDomain, tenantDomain])];
  const marker = join(directory, 'domains');
  const kept = await readPair(directory, 'ca');
  if (kept && (await readText(marker)) === `${domains.join('\n')}\n`) {
    if (certificateProblems(kept, { names: [], now }).length === 0) {
      return kept;
    }
  }
  const authority = await createAuthority(domains, now);
  await writeWhole(join(directory, 'ca.key'), authority.key, MODE.secret);
  await writeWhole(join(directory, 'ca.crt'), authority.certificate, MODE.public);
  await writeWhole(marker, `${domains.join('\n')}\n`, MODE.public);
  return authority;
}

/** One leaf for all names, served as the portal's and the tenants' pair. */
export async function ensureLocal(options: CertificateOptions): Promise<boolean> {
  const authority = await localAuthority(options);
  const directory = join(options.dataDir, 'certs');
  const need = {
    names: localCertificateNames(options.portalDomain, options.tenantDomain),
    now: options.now,
    authority: authority.certificate,
  };
  const served = await Promise.all(CERTIFICATES.map((name) => readPair(directory, name)));
  const good = served.find((pair) => pair && certificateProblems(pair, need).length === 0);
  const leaf = good ?? (await issueLeaf(authority, need.names, options.now));
  let changed = false;
  for (const name of CERTIFICATES) {
    changed = (await servePair(directory, name, leaf)) || changed;
  }
  return changed;
}
