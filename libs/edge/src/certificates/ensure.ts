import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { certificateProblems } from '#libs/crypto';
import { ensureAcme } from './acme.js';
import type { CertificateOptions } from './options.js';
import { CERTIFICATES, type CertificateName, readPair, readText } from './files.js';
import { ensureLocal } from './local.js';
import { ensureSupplied } from './supplied.js';

export interface CertificateReport {
  /** Something in certs/ is new: the route folder must be touched, since the proxy does not watch certificates. */
  changed: boolean;
  expiresAt: Record<CertificateName, Date>;
  /** What an operator should know and need not act on today. */
  warnings: string[];
}

/**
 * Makes sure certs/ holds `portal` and `tenants` (.crt and .key), valid for 30 more days where that is in our hands.
 * Throws CONFIG_INVALID, RATE_LIMITED or UNAVAILABLE with a sentence for the operator; what was served stays served.
 */
export async function ensureCertificates(options: CertificateOptions): Promise<CertificateReport> {
  let changed = false;
  let warnings: string[] = [];
  switch (options.mode) {
    case 'local':
      changed = await ensureLocal(options);
      break;
    case 'files':
      ({ changed, warnings } = await ensureSupplied(options));
      break;
    case 'stand-in':
      changed = await ensureStandIn(options);
      break;
    case 'acme':
      // The proxy needs something to serve while the authority asks its questions, which may be over HTTPS.
      changed = await ensureStandIn(options);
      changed = (await ensureAcme(options, options.acme ?? { email: '', directory: '', dnsProvider: '' })) || changed;
      break;
  }
  return { changed, warnings, expiresAt: await certificateExpiries(options.dataDir) };
}

async function ensureStandIn(options: CertificateOptions): Promise<boolean> {
  return (await hasAll(options)) ? false : ensureLocal(options);
}

async function hasAll({ dataDir, now }: CertificateOptions): Promise<boolean> {
  const pairs = await Promise.all(CERTIFICATES.map((name) => readPair(join(dataDir, 'certs'), name)));
  return pairs.every(
    (pair) =>
      pair &&
      certificateProblems(pair, { names: [], now }).every(
        ({ kind }) => kind !== 'unreadable' && kind !== 'key-mismatch',
      ),
  );
}

/** Until when what is served is valid; the beginning of time where there is none. */
export async function certificateExpiries(dataDir: string): Promise<Record<CertificateName, Date>> {
  const dates = await Promise.all(
    CERTIFICATES.map(async (name) => {
      const pair = await readPair(join(dataDir, 'certs'), name);
      return [name, pair ? new X509Certificate(pair.certificate).validToDate : new Date(0)] as const;
    }),
  );
  return Object.fromEntries(dates) as Record<CertificateName, Date>;
}

/** PEM of the authority a stack needs to trust the portal; empty where a public one signs. */
export async function readPortalAuthority(options: Pick<CertificateOptions, 'mode' | 'dataDir'>): Promise<string> {
  const path = { local: 'ca/ca.crt', files: 'certs/supplied-ca.crt', acme: null, 'stand-in': null }[options.mode];
  return path === null ? '' : ((await readText(join(options.dataDir, path))) ?? '');
}
