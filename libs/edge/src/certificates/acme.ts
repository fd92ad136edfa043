import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { type PemPair, certificateProblems, localCertificateNames } from '#libs/crypto';
import { type AcmeBudget, DomainError } from '#libs/contracts';
import {
  budgetLeft,
  type Order,
  nextOrderAt,
  nextSharedOrderAt,
  orderSchema,
  recentOrders,
} from '../domain/acme-budget.js';
import { type AddressProblem, type Answer, judgeAddresses } from '../domain/domain-records.js';
import { both, readAddresses } from '../domain-resolver.js';
import type { AcmeOptions, CertificateOptions } from './options.js';
import { MODE, readPair, readText, servePair, writeWhole } from './files.js';

const LETS_ENCRYPT = 'https://acme-v02.api.letsencrypt.org/directory';
/** DNS providers take minutes to publish a record; a file is there at once, and others wait for their turn. */
const LEGO_MS = { dns: 10 * 60_000, http: 3 * 60_000 };

export interface Wanted {
  /** In certs/, without its ending. */
  name: string;
  names: string[];
  challenge: 'http' | 'dns';
  /** Whose it is: one of many like it, which together stay below what the authority allows, and each customer's too. */
  account?: string;
}

/** The tenants' wildcard needs DNS-01; the portal gets a certificate of its own unless that one covers it. */
function wanted({ portalDomain, tenantDomain }: CertificateOptions): Wanted[] {
  const tenants: Wanted = {
    name: 'tenants',
    names: localCertificateNames(tenantDomain, tenantDomain),
    challenge: 'dns',
  };
  const covered = portalDomain === tenantDomain || portalDomain.split('.').slice(1).join('.') === tenantDomain;
  return covered ? [tenants] : [tenants, { name: 'portal', names: [portalDomain], challenge: 'http' }];
}

/**
 * Certificates of an ACME authority through the lego client. What is served stays served until something better is
 * there; each certificate is tried, and what went wrong is told at the end.
 */
export async function ensureAcme(options: CertificateOptions, acme: AcmeOptions): Promise<boolean> {
  requireSettings(acme);
  const certs = join(options.dataDir, 'certs');
  const list = wanted(options);
  const failures: DomainError[] = [];
  let changed = false;
  for (const want of list) {
    try {
      const served = await readPair(certs, want.name);
      const pair = served && (await isGood(served, want, options)) ? served : await order(want, options, acme);
      changed = (await servePair(certs, want.name, pair)) || changed;
      if (list.length === 1) {
        changed = (await servePair(certs, 'portal', pair)) || changed;
      }
    } catch (error) {
      if (!(error instanceof DomainError)) {
        throw error;
      }
      failures.push(error);
    }
  }
  const [first] = failures;
  if (first) {
    throw new DomainError(first.code, {
      message: failures.map(({ message }) => message).join(' '),
      // Whether the authority was asked: then the same again costs, and should wait longer.
      details: { changed, ordered: failures.some(({ details }) => details['ordered'] === true) },
      cause: first,
    });
  }
  return changed;
}

export function requireSettings({ email, dnsProvider }: AcmeOptions): void {
  if (!/^[^\s@]+@[^\s@]+$/.test(email) || dnsProvider === '') {
    throw new DomainError('CONFIG_INVALID', {
      message: 'AVIARY_TLS_MODE is acme: set AVIARY_ACME_EMAIL and AVIARY_ACME_DNS_PROVIDER.',
    });
  }
}

/** Not one that stands in for it: the local authority's leaf is valid too, and nobody's browser knows it. */
export async function isGood(pair: PemPair, want: Wanted, { dataDir, now }: CertificateOptions): Promise<boolean> {
  const local = await readText(join(dataDir, 'ca', 'ca.crt'));
  const standIn =
    local !== null &&
    certificateProblems(pair, { names: [], now, authority: local }).every(({ kind }) => kind !== 'foreign-authority');
  return !standIn && certificateProblems(pair, { names: want.names, now }).length === 0;
}

/** Throws RATE_LIMITED with `next` beyond the budget, UNAVAILABLE (`ordered`: it cost an attempt) where it was not issued. */
export async function order(want: Wanted, options: CertificateOptions, acme: AcmeOptions): Promise<PemPair> {
  const directory = join(options.dataDir, 'acme');
  const orders = recentOrders(await readOrders(directory), options.now);
  const next =
    nextOrderAt(orders, want.name, options.now) ??
    (want.account === undefined ? null : nextSharedOrderAt(orders, want.account, options.now));
  if (next) {
    throw new DomainError('RATE_LIMITED', {
      message: `The certificate ${want.name} was ordered too often lately; the next order is possible at ${next.toISOString()}. (Counted in ${join(directory, 'orders.json')}.)`,
      details: { certificate: want.name, next: next.toISOString() },
    });
  }
  await checkNames(want, acme);
  const current: Order = {
    at: options.now.toISOString(),
    certificate: want.name,
    ...(want.account === undefined ? {} : { account: want.account }),
    outcome: 'started',
  };
  // Before the order: one that is cut short has still been counted by the authority.
  await writeOrders(directory, [...orders, current]);
  try {
    await runLego(want, options, acme);
    const pair = await readIssued(directory, want);
    // `now` was read before the order, and how long a certificate lasts is the authority's choice.
    const problems = certificateProblems(pair, { names: want.names, now: options.now }).filter(
      ({ kind }) => kind !== 'expires-soon' && kind !== 'not-yet-valid',
    );
    if (problems.length > 0) {
      throw new DomainError('UNAVAILABLE', {
        message: `The authority's certificate ${want.name} cannot be served (${problems.map(({ kind }) => kind).join(', ')}).`,
      });
    }
    current.outcome = 'issued';
    return pair;
  } catch (error) {
    current.outcome = 'failed';
    throw error instanceof DomainError
      ? new DomainError(error.code, {
          message: error.message,
          details: { ...error.details, ordered: true },
          cause: error,
        })
      : error;
  } finally {
    await writeOrders(directory, [...orders, current]);
  }
}

/** What may still be ordered for the platform itself and for customers' domains; null where no authority is asked. */
export async function acmeBudget(options: CertificateOptions): Promise<AcmeBudget | null> {
  if (options.mode !== 'acme') {
    return null;
  }
  const orders = await readOrders(join(options.dataDir, 'acme'));
  const names = wanted(options).map(({ name }) => name);
  return budgetLeft(orders, names, options.now);
}

async function readOrders(directory: string): Promise<Order[]> {
  const text = await readText(join(directory, 'orders.json'));
  return text === null ? [] : z.array(orderSchema).parse(JSON.parse(text));
}

async function writeOrders(directory: string, orders: readonly Order[]): Promise<void> {
  await writeWhole(join(directory, 'orders.json'), `${JSON.stringify(orders, null, 1)}\n`, MODE.secret);
}

/**
 * What would cost a failed validation, of which the authority allows few. It asks the portal's name itself (HTTP-01), so
 * that has to lead here; which addresses lead here only a person can say, as routers and providers lead others to this
 * host than it has itself. Without that, and for the wildcard, which a record proves, a name is to have any address.
 * Owners' domains were judged before.
 */
async function checkNames(want: Wanted, { dnsServers, publicAddresses = [] }: AcmeOptions): Promise<void> {
  const ours = want.challenge === 'http' && want.account === undefined ? publicAddresses : [];
  for (const name of want.names) {
    const families = await readAddresses(name.replace(/^\*/, 'uaaaaaa'), dnsServers);
    const problem = ours.length > 0 ? judgeAddresses(both(...families), { found: ours }) : missing(families);
    if (problem) {
      const message = `No certificate was ordered: ${said(problem, name)}`;
      throw new DomainError('UNAVAILABLE', { message, details: { name } });
    }
  }
}

/** One family that is not answered says nothing against the other. */
function missing(families: readonly Answer<string[]>[]): AddressProblem | null {
  return families.some((answer) => 'found' in answer && answer.found.length > 0)
    ? null
    : { code: 'ADDRESS_MISSING', params: {} };
}

function said({ code, params }: AddressProblem, name: string): string {
  switch (code) {
    case 'ADDRESS_MISSING':
      return `${name} has no address in DNS. Point it at this host first.`;
    case 'ADDRESS_OTHER':
      return `${name} leads to ${params.found}, which AVIARY_PUBLIC_ADDRESSES does not name. Point it at this host first.`;
    case 'DNS_FAILED':
      return `DNS did not say where ${name} leads (${params.reason}).`;
  }
}

async function runLego(want: Wanted, options: CertificateOptions, acme: AcmeOptions): Promise<void> {
  const directory = join(options.dataDir, 'acme');
  // The gate answers the authority's question from here.
  const webRoot = join(options.dataDir, 'gate', 'webroot');
  await mkdir(webRoot, { recursive: true, mode: 0o755 });
  const challenge = want.challenge === 'http' ? ['--http', '--http.webroot', webRoot] : ['--dns', acme.dnsProvider];
  const settings = {
    '--server': acme.directory || LETS_ENCRYPT,
    '--email': acme.email,
    '--path': directory,
    '--key-type': 'ec256',
  };
  const args = [
    '--accept-tos',
    ...Object.entries(settings).flat(),
    ...want.names.flatMap((name) => ['--domains', name]),
    ...challenge,
    ...(acme.legoArguments ?? []),
    'run',
  ];
  // Credentials go by environment: arguments are there for every user of the host to read.
  const path = `${join(options.dataDir, 'bin')}:/usr/local/bin:/usr/bin:/bin`;
  const env = { PATH: path, HOME: directory, ...(await providerEnvironment(directory)) };
  await new Promise<void>((resolve, reject) => {
    execFile(
      acme.lego ?? 'lego',
      args,
      { env, timeout: LEGO_MS[want.challenge], maxBuffer: 4 * 1024 * 1024 },
      (error, stdout, stderr) => {
        if (!error) {
          resolve();
          return;
        }
        const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
        const last = `${stdout}\n${stderr}`.trim().split('\n').slice(-3).join(' ').slice(-600);
        reject(
          new DomainError('UNAVAILABLE', {
            message: missing
              ? 'The ACME client lego is not installed beside the agent.'
              : `The certificate ${want.name} was not issued: ${last}`,
            details: { certificate: want.name },
            // Its command line holds no secret, its environment does and is not part of the error.
            cause: error,
          }),
        );
      },
    );
  });
}

/** KEY=VALUE lines, as lego documents them for each provider; # begins a comment line. */
async function providerEnvironment(directory: string): Promise<Record<string, string>> {
  const path = join(directory, 'provider.env');
  const entries = ((await readText(path)) ?? '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line, index) => {
      const found = /^([A-Z][A-Z0-9_]*)=(.*)$/.exec(line);
      if (!found) {
        throw new DomainError('CONFIG_INVALID', { message: `${path}: setting ${index + 1} is not KEY=VALUE.` });
      }
      return [found[1] ?? '', (found[2] ?? '').replace(/^(["'])(.*)\1$/, '$2')] as const;
    });
  return Object.fromEntries(entries);
}

/** lego names its files after the first domain. */
async function readIssued(directory: string, want: Wanted): Promise<PemPair> {
  const pair = await readPair(join(directory, 'certificates'), want.names[0] ?? '');
  if (!pair) {
    throw new DomainError('UNAVAILABLE', { message: `lego ended well and left no certificate ${want.name}.` });
  }
  return pair;
}
