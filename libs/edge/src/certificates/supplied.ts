import { join } from 'node:path';
import { type CertificateProblem, type PemPair, certificateProblems, localCertificateNames } from '#libs/crypto';
import { DomainError } from '#libs/contracts';
import type { CertificateOptions } from './options.js';
import { type CertificateName, readPair, servePair } from './files.js';

const SUPPLIED = 'supplied-';

function words(problem: CertificateProblem): string {
  switch (problem.kind) {
    case 'unreadable':
      return `it does not read (${problem.reason})`;
    case 'key-mismatch':
      return 'the key belongs to another certificate';
    case 'not-yet-valid':
      return `it is valid only from ${problem.from.toISOString()}`;
    case 'expired':
      return `it expired on ${problem.on.toISOString()}`;
    case 'expires-soon':
      return `it expires on ${problem.on.toISOString()}`;
    case 'names-missing':
      return `it does not cover ${problem.names.join(', ')}`;
    case 'foreign-authority':
      return 'it was signed by another authority';
  }
}

/** Refuses a pair that would not work, naming every reason; that it ends soon is a warning. */
function check(name: string, pair: PemPair, names: readonly string[], now: Date): string[] {
  const problems = certificateProblems(pair, { names, now });
  const fatal = problems.filter((problem) => problem.kind !== 'expires-soon');
  if (fatal.length > 0) {
    throw new DomainError('CONFIG_INVALID', {
      message: `The supplied certificate ${name}.crt cannot be served: ${fatal.map(words).join('; ')}. The one served so far stays.`,
      details: { certificate: name, problems: fatal.map((problem) => problem.kind) },
    });
  }
  return problems.map((problem) => `${name}.crt: ${words(problem)}`);
}

/**
 * Certificates an operator laid into certs/: `supplied-portal.crt` (chain, leaf first) and `.key`, and the same for
 * `supplied-tenants` unless the portal's covers the tenants' wildcard too. Both are checked before either is served.
 */
export async function ensureSupplied(options: CertificateOptions): Promise<{ changed: boolean; warnings: string[] }> {
  const directory = join(options.dataDir, 'certs');
  const portal = await readPair(directory, `${SUPPLIED}portal`);
  if (!portal) {
    throw new DomainError('CONFIG_INVALID', {
      message: `AVIARY_TLS_MODE is files, but ${directory} holds no ${SUPPLIED}portal.crt with its ${SUPPLIED}portal.key.`,
    });
  }
  const { portalDomain, tenantDomain, now } = options;
  const tenants = await readPair(directory, `${SUPPLIED}tenants`);
  const tenantNames = localCertificateNames(tenantDomain, tenantDomain);
  const warnings = tenants
    ? [
        ...check(`${SUPPLIED}portal`, portal, [portalDomain], now),
        ...check(`${SUPPLIED}tenants`, tenants, tenantNames, now),
      ]
    : check(`${SUPPLIED}portal`, portal, localCertificateNames(portalDomain, tenantDomain), now);
  const pairs: [CertificateName, PemPair][] = [
    ['portal', portal],
    ['tenants', tenants ?? portal],
  ];
  let changed = false;
  for (const [name, pair] of pairs) {
    changed = (await servePair(directory, name, pair)) || changed;
  }
  return { changed, warnings };
}
