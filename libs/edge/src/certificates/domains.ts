import { X509Certificate } from 'node:crypto';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DomainError } from '#libs/contracts';
import { DOMAIN_CERTIFICATES } from '../domain/tenant-routes.js';
import { isGood, order, requireSettings, type Wanted } from './acme.js';
import { readPair, servePair } from './files.js';
import type { CertificateOptions } from './options.js';

export interface DomainCertificate {
  until: Date;
  /** Not valid for thirty more days: to be ordered again. */
  due: boolean;
}

/** Its name among certificates: `certs/<name>.crt`. */
export const domainCertificateName = (domain: string): string => `${DOMAIN_CERTIFICATES}/${domain}`;

const wanted = (domain: string): Wanted => ({
  name: domainCertificateName(domain),
  names: [domain],
  challenge: 'http',
});

/** What is served for a customer's domain; null where there is none yet. */
export async function domainCertificate(
  options: CertificateOptions,
  domain: string,
): Promise<DomainCertificate | null> {
  const want = wanted(domain);
  const pair = await readPair(join(options.dataDir, 'certs'), want.name);
  return (
    pair && { until: new X509Certificate(pair.certificate).validToDate, due: !(await isGood(pair, want, options)) }
  );
}

/**
 * Orders one by HTTP-01 and puts it where it is served; the proxy has to be told. Whoever asks knows that the name leads
 * here. Throws CONFIG_INVALID, RATE_LIMITED (`next`), UNAVAILABLE (`ordered`); what was served stays.
 */
export async function orderDomainCertificate(
  options: CertificateOptions,
  { domain, account }: { domain: string; account: string },
): Promise<DomainCertificate> {
  if (options.mode !== 'acme' || !options.acme) {
    throw new DomainError('CONFIG_INVALID', {
      message: 'Certificates of this platform do not come from an authority.',
    });
  }
  requireSettings(options.acme);
  const want = { ...wanted(domain), account };
  const pair = await order(want, options, options.acme);
  await servePair(join(options.dataDir, 'certs'), want.name, pair);
  return { until: new X509Certificate(pair.certificate).validToDate, due: false };
}

/** Removes every certificate of a domain that is not kept, with what the ACME client has of it. Gives their names. */
export async function removeDomainCertificates(dataDir: string, keep: (domain: string) => boolean): Promise<string[]> {
  const directory = join(dataDir, 'certs', DOMAIN_CERTIFICATES);
  const gone = [
    ...new Set((await namesIn(directory)).flatMap((file) => /^(.+)\.(crt|key)$/.exec(file)?.[1] ?? [])),
  ].filter((domain) => !keep(domain));
  for (const domain of gone) {
    const kept = join(dataDir, 'acme', 'certificates');
    for (const file of await namesIn(kept)) {
      if (file.startsWith(`${domain}.`) && /^(crt|key|json|pem|issuer\.crt)$/.test(file.slice(domain.length + 1))) {
        await rm(join(kept, file));
      }
    }
    // Last, so that what is cut short is found again.
    await rm(join(directory, `${domain}.key`), { force: true });
    await rm(join(directory, `${domain}.crt`), { force: true });
  }
  return gone;
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      return [];
    }
    throw error;
  }
}
