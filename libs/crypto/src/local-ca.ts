import { KeyObject, X509Certificate, createPrivateKey, randomBytes, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import { DomainError } from '#libs/contracts';

/** A certificate (or chain, leaf first) and its PKCS8 private key, both PEM. */
export interface PemPair {
  certificate: string;
  key: string;
}

const DAY_MS = 86_400_000;
const ROOT_DAYS = 3650;
/** Browsers accept at most 398 days (Chromium and Apple root programmes); one day is left for time zones. */
const LEAF_DAYS = 397;
/** Certificates start an hour early: a guest's clock may lag behind ours. */
const BACKDATE_MS = 3_600_000;
export const RENEW_BEFORE_DAYS = 30;

const P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const NAME_CONSTRAINTS_OID = '2.5.29.30';

/** The names a local certificate covers: the portal, and one label below the tenants' domain (RFC 6125 §6.4.3). */
export function localCertificateNames(portalDomain: string, tenantDomain: string): string[] {
  return [...new Set([portalDomain, tenantDomain, `*.${tenantDomain}`])];
}

/** ASN.1 DER of one type-length-value; lengths here stay below 65 536. */
function der(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const header =
    length < 0x80 ? [tag, length] : length < 0x100 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(header), content]);
}

/** RFC 5280 §4.2.1.10: NameConstraints { permittedSubtrees [0] { GeneralSubtree { dNSName [2] } … } }. */
function permittedSubtrees(domains: readonly string[]): Buffer {
  const subtrees = domains.map((domain) => der(0x30, der(0x82, Buffer.from(domain, 'ascii'))));
  return der(0x30, der(0xa0, Buffer.concat(subtrees)));
}

// Loaded on first use: everything that reads a token imports this library, and few of them ever make a certificate.
async function x509Library(): Promise<typeof import('@peculiar/x509')> {
  await import('reflect-metadata');
  const x509 = await import('@peculiar/x509');
  x509.cryptoProvider.set(webcrypto);
  return x509;
}

function keyText(key: webcrypto.CryptoKey): string {
  return KeyObject.from(key).export({ format: 'pem', type: 'pkcs8' }).toString();
}

async function importPrivateKey(pem: string): Promise<webcrypto.CryptoKey> {
  const bytes = createPrivateKey(pem).export({ format: 'der', type: 'pkcs8' });
  return webcrypto.subtle.importKey('pkcs8', bytes, P256, false, ['sign']);
}

/** 159 random bits: positive as a DER integer and unpredictable (CA/Browser Forum baseline: at least 64). */
function serialNumber(): string {
  const bytes = randomBytes(20);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}

function validity(days: number, now: Date): { notBefore: Date; notAfter: Date } {
  const notBefore = new Date(now.getTime() - BACKDATE_MS);
  return { notBefore, notAfter: new Date(notBefore.getTime() + days * DAY_MS) };
}

/**
 * A P-256 root valid for ten years. It is constrained (critical, RFC 5280 §4.2.1.10) to `domains` and names below
 * them, so whoever steals its key from this host cannot speak for any other site to people who trust it.
 */
export async function createAuthority(domains: readonly string[], now: Date): Promise<PemPair> {
  const x509 = await x509Library();
  const keys = await webcrypto.subtle.generateKey(P256, true, ['sign', 'verify']);
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: [{ O: ['Aviary'] }, { CN: [`Aviary local CA ${randomBytes(3).toString('hex')}`] }],
    ...validity(ROOT_DAYS, now),
    signingAlgorithm: P256,
    keys: keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      new x509.Extension(NAME_CONSTRAINTS_OID, true, permittedSubtrees([...new Set(domains)])),
    ],
  });
  return { certificate: `${root.toString('pem')}\n`, key: keyText(keys.privateKey) };
}

/** A server certificate for `names`, signed by `authority`, valid for 397 days or until the authority ends. */
export async function issueLeaf(authority: PemPair, names: readonly string[], now: Date): Promise<PemPair> {
  const common = names[0];
  if (common === undefined) {
    throw new DomainError('CONFIG_INVALID', { message: 'A certificate needs at least one name.' });
  }
  const x509 = await x509Library();
  const root = new x509.X509Certificate(authority.certificate);
  const dates = validity(LEAF_DAYS, now);
  const keys = await webcrypto.subtle.generateKey(P256, true, ['sign', 'verify']);
  const leaf = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    // A common name holds 64 characters (RFC 5280 appendix A); every client reads the alternative names instead.
    subject: [{ CN: [common.length <= 64 ? common : 'aviary'] }],
    issuer: root.subjectName,
    notBefore: dates.notBefore,
    notAfter: dates.notAfter < root.notAfter ? dates.notAfter : root.notAfter,
    signingKey: await importPrivateKey(authority.key),
    publicKey: keys.publicKey,
    signingAlgorithm: P256,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(
        [...new Set(names)].map((name) => ({ type: isIP(name) ? 'ip' : 'dns', value: name })),
      ),
      await x509.AuthorityKeyIdentifierExtension.create(root.publicKey),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: `${leaf.toString('pem')}\n`, key: keyText(keys.privateKey) };
}

/** What a pair is checked against before it is served. */
export interface CertificateNeed {
  names: readonly string[];
  now: Date;
  /** PEM of the authority that must have signed it; any where absent. */
  authority?: string;
}

export type CertificateProblem =
  | { kind: 'unreadable'; reason: string }
  | { kind: 'key-mismatch' }
  | { kind: 'not-yet-valid'; from: Date }
  | { kind: 'expired'; on: Date }
  | { kind: 'expires-soon'; on: Date }
  | { kind: 'names-missing'; names: string[] }
  | { kind: 'foreign-authority' };

/** Everything wrong with a pair for that need; an empty list means it can be served as it is. */
export function certificateProblems(pair: PemPair, need: CertificateNeed): CertificateProblem[] {
  let leaf: X509Certificate;
  let matches: boolean;
  try {
    leaf = new X509Certificate(pair.certificate);
    matches = leaf.checkPrivateKey(createPrivateKey(pair.key));
  } catch (error) {
    return [{ kind: 'unreadable', reason: error instanceof Error ? error.message : String(error) }];
  }
  const problems: CertificateProblem[] = [];
  if (!matches) {
    problems.push({ kind: 'key-mismatch' });
  }
  const now = need.now.getTime();
  const until = leaf.validToDate.getTime();
  if (leaf.validFromDate.getTime() > now) {
    problems.push({ kind: 'not-yet-valid', from: leaf.validFromDate });
  }
  if (until <= now) {
    problems.push({ kind: 'expired', on: leaf.validToDate });
  } else if (until - now < RENEW_BEFORE_DAYS * DAY_MS) {
    problems.push({ kind: 'expires-soon', on: leaf.validToDate });
  }
  const missing = need.names.filter((name) => !covers(leaf, name));
  if (missing.length > 0) {
    problems.push({ kind: 'names-missing', names: missing });
  }
  if (need.authority !== undefined && !signedBy(leaf, need.authority)) {
    problems.push({ kind: 'foreign-authority' });
  }
  return problems;
}

/** Node refuses to match a pattern against a pattern, so a wildcard is asked for through a name it would cover. */
function covers(leaf: X509Certificate, name: string): boolean {
  const host = name.startsWith('*.') ? `uaaaaaa${name.slice(1)}` : name;
  return leaf.checkHost(host, { subject: 'never', singleLabelSubdomains: false }) !== undefined;
}

function signedBy(leaf: X509Certificate, authorityPem: string): boolean {
  const authority = new X509Certificate(authorityPem);
  return leaf.checkIssued(authority) && leaf.verify(authority.publicKey);
}
