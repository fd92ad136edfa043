import { createHash, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { waitFor } from '#libs/async';
import type { Finding } from '#libs/jobs';

const DAY_MS = 86_400_000;
/** Renewal begins at thirty days, so that each of these is a week or more of failed attempts. */
const LEVELS = [
  { days: 7, severity: 'critical' },
  { days: 14, severity: 'warning' },
  { days: 21, severity: 'warning' },
] as const;

const WHAT_TO_DO = {
  local: 'It should have been renewed by itself: aviary doctor says why it was not.',
  acme: 'Its renewal fails: aviary doctor says why, and when it is tried again.',
  files: 'Put a new one into certs/ of the data folder; it is taken up within twelve hours, or at once by scripts/up.',
} as const;

export interface ServedName {
  certificate: string;
  /** A host of it. */
  host: string;
}

/** An alarm for each certificate that ends within 21, 14 or 7 days; the nearer, the same alarm again with that level. */
export function expiryFindings(
  expiresAt: Readonly<Record<string, Date>>,
  mode: keyof typeof WHAT_TO_DO,
  now: Date,
): Finding[] {
  return Object.entries(expiresAt).flatMap(([name, until]) => {
    const days = (until.getTime() - now.getTime()) / DAY_MS;
    const level = LEVELS.find((one) => days <= one.days);
    if (!level) {
      return [];
    }
    const over = days <= 0;
    const when = over ? 'is valid no more since' : 'ends in';
    const span = over
      ? until.toISOString().slice(0, 10)
      : `${Math.floor(days)} days, on ${until.toISOString().slice(0, 10)}`;
    return [
      {
        key: `certificate/${name}/ends`,
        code: 'CERTIFICATE_EXPIRES',
        severity: level.severity,
        message: `The certificate ${name} ${when} ${span}. ${WHAT_TO_DO[mode]}`,
        params: { certificate: name, until: until.toISOString(), days: Math.floor(days), level: over ? 0 : level.days },
      },
    ];
  });
}

/** SHA-256 of the leaf. */
export const leafFingerprint = (pem: string): string =>
  createHash('sha256').update(new X509Certificate(pem).raw).digest('hex');

/** The leaf that the proxy shows to who asks for that host. */
export async function shownFingerprint(proxy: { host: string; port: number }, servername: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  // Which certificate it is, is the question; whether it is one to trust is asked elsewhere.
  const socket = connect({ ...proxy, servername, rejectUnauthorized: false, timeout: 5_000 }, () => {
    resolve(createHash('sha256').update(socket.getPeerCertificate().raw).digest('hex'));
    socket.end();
  });
  socket.once('timeout', () => socket.destroy(new Error(`the proxy does not answer for ${servername}`)));
  socket.once('error', reject);
  return promise;
}

interface ServedDeps {
  names: readonly ServedName[];
  /** PEM of what lies in certs/ under that name. */
  read: (certificate: string) => Promise<string>;
  shown: (host: string) => Promise<string>;
  /** Makes the proxy read its certificates again. */
  touch: () => Promise<void>;
}

/** A renewed certificate that is not served ends as surely as one that was not renewed. Has the proxy read it again. */
export async function unservedFindings({ names, read, shown, touch }: ServedDeps): Promise<Finding[]> {
  const differ = async (): Promise<ServedName[]> => {
    const ours = await Promise.all(names.map(async ({ certificate }) => leafFingerprint(await read(certificate))));
    // Where two of ours cover a host, which of them is shown is the proxy's choice.
    const looks = await Promise.all(names.map(async (name) => (ours.includes(await shown(name.host)) ? [] : [name])));
    return looks.flat();
  };
  let wrong = await differ();
  if (wrong.length === 0) {
    return [];
  }
  await touch();
  const end = performance.now() + 5_000;
  wrong = await waitFor(
    async () => {
      const still = await differ();
      return still.length === 0 || performance.now() > end ? still : undefined;
    },
    { what: 'the proxy showing its new certificates', deadlineMs: 15_000 },
  );
  return wrong.map(({ certificate, host }) => ({
    key: `certificate/${certificate}/served`,
    code: 'CERTIFICATE_NOT_SERVED',
    severity: 'critical',
    message: `The proxy shows another certificate for ${host} than the one in certs/. See the log of its container.`,
    params: { certificate, host },
  }));
}

interface WatchDeps {
  mode: keyof typeof WHAT_TO_DO;
  expiries: () => Promise<Record<string, Date>>;
  /** Where `<name>.crt` lie. */
  directory: string;
  /** A host of each certificate. */
  hosts: Readonly<Record<string, string>>;
  /** Those of owners' domains that are routed, with their ends. */
  domains?: () => readonly (ServedName & { until: Date })[];
  proxy: { host: string; port: number };
  touch: () => Promise<void>;
  now: () => Date;
}

export class CertificateWatch {
  constructor(private readonly deps: WatchDeps) {}

  async findings(): Promise<Finding[]> {
    const { mode, expiries, directory, hosts, proxy, touch, now } = this.deps;
    const domains = this.deps.domains?.() ?? [];
    const names = [...Object.entries(hosts).map(([certificate, host]) => ({ certificate, host })), ...domains];
    const ends = Object.fromEntries(domains.map(({ certificate, until }) => [certificate, until]));
    return [
      ...expiryFindings({ ...(await expiries()), ...ends }, mode, now()),
      ...(await unservedFindings({
        names,
        read: (name) => readFile(join(directory, `${name}.crt`), 'utf8'),
        shown: (host) => shownFingerprint(proxy, host),
        touch,
      })),
    ];
  }
}
