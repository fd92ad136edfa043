import { KeyedMutex, Semaphore } from '#libs/async';
import { isDomainError, type DomainProblem } from '#libs/contracts';
import { tx, type Database } from '#libs/db';
import {
  domainCertificate,
  domainCertificateName,
  judgeRecords,
  orderDomainCertificate,
  removeDomainCertificates,
  tenantFileName,
  type CertificateOptions,
  type DomainNames,
  type DomainRecords,
  type RouteFolder,
} from '#libs/edge';
import type { Finding, Queue } from '#libs/jobs';
import type { Logger } from '#libs/telemetry';
import {
  auditIssued,
  challengeName,
  dueClaims,
  forgetClaim,
  forgetProof,
  isConfirmed,
  isForgotten,
  nextLookMs,
  proveClaim,
  provenClaims,
  saveClaim,
  stackHost,
  tellOfDomain,
  type DomainClaim,
} from '#libs/tenants';
import { awayFindings, unroutedFindings } from './domain-findings.js';
import type { StackRoutes } from './stack-routes.js';

/** Name servers of strangers: some never answer, and nobody is to wait for them longer than his own takes. */
const LOOKS_AT_ONCE = 8;
/** To the next look at a claim that another stack is being parted from. */
const SOON_MS = 5_000;
/** After a look that failed for a reason of our own. */
const AGAIN_MS = 60_000;
const REASON_LENGTH = 300;

export interface DomainKeeperDeps {
  dataSource: Database;
  queue: Pick<Queue, 'enqueue'>;
  portalUrl: string;
  engineId: string;
  tenantDomain: string;
  folder: Pick<RouteFolder, 'files' | 'touch'>;
  routes: StackRoutes;
  /** Asks DNS. */
  read: (names: DomainNames) => Promise<DomainRecords>;
  certificates: () => CertificateOptions;
  /** The name by which CAA records allow the authority in use; null where that is not known. */
  authority: string | null;
  /** One order at a time, also with the platform's own: they share one account and one count on disk. */
  ordering: Semaphore;
  /** Resolves once a question of the authority would be answered here. */
  ready: () => Promise<void>;
  /** Throws when this agent may change nothing any more. */
  prove: () => Promise<void>;
  logger: Pick<Logger, 'info' | 'warn' | 'error'>;
  now: () => Date;
}

/**
 * Brings owners' domains to life and keeps them so: proves them by DNS, orders their certificates once they lead here,
 * has them routed, and takes all of it away again. Nothing is ordered for a name that does not lead here.
 */
export class DomainKeeper {
  private readonly slots = new Semaphore(LOOKS_AT_ONCE);
  /** One order of each account at work or waiting: who has many waits behind themselves, not everybody else behind them. */
  private readonly lines = new KeyedMutex();
  private readonly looks = new Map<string, { domain: string; end: Promise<void> }>();
  /** Stacks whose route file may not say what their rows say. Not kept on disk: an agent that starts renders all. */
  private readonly changed = new Set<string>();
  /** The stack that had a domain until another proved it, by domain, until its route is rewritten. */
  private readonly partedFrom = new Map<string, string>();
  private proven: DomainClaim[] = [];
  private readonly failures: unknown[] = [];
  private unrouted: DomainClaim[] = [];

  constructor(private readonly deps: DomainKeeperDeps) {}

  /** Starts the looks that are due and puts in place what came of others. Does not wait for an order under way. */
  async turn(): Promise<void> {
    const { dataSource, engineId, prove, now } = this.deps;
    await prove();
    for (const claim of await dueClaims(dataSource.manager, engineId, now())) {
      if (claim.removedAt !== null) {
        this.changed.add(claim.tenantId);
      } else if (!this.looks.has(claim.id)) {
        const end = this.slots
          .run(() => this.look(claim))
          // An order takes minutes; the slot is for others' looks meanwhile.
          .then((orderDue) => (orderDue ? this.lines.run(claim.accountId, () => this.renew(claim)) : undefined))
          .catch((error: unknown) => this.fail(claim, error))
          .finally(() => this.looks.delete(claim.id));
        this.looks.set(claim.id, { domain: claim.domain, end });
      }
    }
    await this.publish();
    await this.clean();
    const failures = this.failures.splice(0);
    if (failures.length > 0) {
      throw new AggregateError(failures, `${failures.length} domains could not be looked at or published`, {
        cause: failures[0],
      });
    }
  }

  /** Resolves when nothing is under way any more. */
  async ended(): Promise<void> {
    await Promise.all([...this.looks.values()].map(({ end }) => end));
  }

  /** End and host of each certificate that the proxy is to show, by its name; of those that still lead here. */
  served(): { certificate: string; host: string; until: Date }[] {
    const routed = this.routedIn();
    return this.proven.flatMap(({ domain, certificateUntil, awaySince, tenantId }) =>
      certificateUntil && routed(domain) !== null && awaySince === null && !this.changed.has(tenantId)
        ? [{ certificate: domainCertificateName(domain), host: domain, until: certificateUntil }]
        : [],
    );
  }

  /** What operators must know of owners' domains. */
  findings(): Finding[] {
    return [...awayFindings(this.proven, this.deps.now()), ...unroutedFindings(this.unrouted)];
  }

  /** True where its certificate is to be ordered now. */
  private async look(claim: DomainClaim): Promise<boolean> {
    const { tenantDomain, read, authority, certificates, logger, now } = this.deps;
    const { domain, slug } = claim;
    const records = await read({
      domain,
      ownership: challengeName(domain),
      ours: stackHost('dashboard', slug, tenantDomain),
    });
    const owned = claim.verifiedAt !== null;
    const judged = judgeRecords(records, { challenge: claim.challenge, authority });
    claim.checkedAt = now();
    claim.addresses = 'found' in records.ours ? [...records.ours.found] : claim.addresses;
    say(claim, judged.problem?.code ?? null, judged.problem?.params);
    if (!owned) {
      if (judged.owned !== true || judged.leadsHere !== true) {
        await this.save(claim);
        return false;
      }
      const texts = 'found' in records.texts ? records.texts.found : [];
      const end = await this.prove(claim, texts);
      if (end !== 'proven') {
        say(claim, end === 'taken' ? 'TAKEN' : null);
        await this.save(claim, end === 'later' ? SOON_MS : undefined);
        return false;
      }
      claim.verifiedAt = now();
      logger.info({ slug, domain }, 'a domain is proven');
    }
    const before = routeOf(claim);
    if (judged.owned === true && judged.leadsHere === true) {
      claim.confirmedAt = now();
      claim.awaySince = null;
    } else if (judged.leadsHere === false || !isConfirmed(claim, now())) {
      // Silence, or a record taken away, for as long as the last proof lasts is as much as leading elsewhere.
      claim.awaySince ??= now();
    }
    if (isForgotten(claim, now())) {
      await this.forget(claim);
      return false;
    }
    const served = await domainCertificate(certificates(), domain);
    claim.certificateUntil = served && served.until > now() ? served.until : null;
    const orderDue = (served === null || served.due) && claim.problem === null;
    // Also before an order, so that a page says what is going on: an authority takes its time.
    await this.save(claim, orderDue ? SOON_MS : undefined);
    if (routeOf(claim) !== before) {
      this.changed.add(claim.tenantId);
    }
    await tellOfDomain(this.deps, claim, now());
    return orderDue;
  }

  private async renew(claim: DomainClaim): Promise<void> {
    const before = routeOf(claim);
    await this.order(claim);
    await this.save(claim);
    if (routeOf(claim) !== before) {
      this.changed.add(claim.tenantId);
    }
  }

  private async forget(claim: DomainClaim): Promise<void> {
    const { dataSource, logger, now } = this.deps;
    claim.nextCheckAt = new Date(now().getTime() + nextLookMs(claim, now()));
    await forgetProof(dataSource, claim);
    this.changed.add(claim.tenantId);
    logger.info({ slug: claim.slug, domain: claim.domain }, 'a domain that led elsewhere for long is proven no more');
  }

  private async prove(claim: DomainClaim, texts: readonly string[]): Promise<'proven' | 'taken' | 'later'> {
    const { dataSource, now } = this.deps;
    const { domain, slug } = claim;
    const end = await proveClaim(dataSource, claim, { texts, now: now(), isParted: () => this.isParted(domain, slug) });
    if (end.outcome === 'later' && end.from !== null) {
      this.changed.add(end.from);
      this.partedFrom.set(domain, end.from);
    }
    return end.outcome;
  }

  /** Not while an operation is open on the stack before either: it may still write what it read when it began. */
  private isParted(domain: string, slug: string): boolean {
    const file = this.routedIn()(domain);
    const before = this.partedFrom.get(domain);
    if ((file !== null && file !== tenantFileName(slug)) || (before !== undefined && this.changed.has(before))) {
      return false;
    }
    this.partedFrom.delete(domain);
    return true;
  }

  /** Asks the authority; what it says instead of a certificate becomes the claim's problem. */
  private async order(claim: DomainClaim): Promise<void> {
    const { certificates, ordering, ready, prove, dataSource, logger } = this.deps;
    const { domain, slug } = claim;
    try {
      if (certificates().mode !== 'acme') {
        say(claim, 'NO_AUTHORITY');
        return;
      }
      const made = await ordering.run(async () => {
        await ready();
        // It may have been removed, or lost to another, while others had their turn.
        if (!(await saveClaim(dataSource.manager, claim))) {
          return null;
        }
        await prove();
        return orderDomainCertificate(certificates(), { domain, account: claim.accountId });
      });
      if (made === null) {
        return;
      }
      const { until } = made;
      claim.certificateUntil = until;
      claim.failedOrders = 0;
      await tx(dataSource, (db) => auditIssued(db, claim));
      // A renewed one stands in a file of the same name, at which the proxy does not look by itself.
      await this.deps.folder.touch();
      logger.info({ slug, domain, until }, 'a domain has its certificate');
    } catch (error) {
      if (!isDomainError(error) || error.code === 'FENCED') {
        throw error;
      }
      const { code, details, message } = error;
      logger.warn({ slug, domain, code, reason: message }, 'a domain is without a new certificate');
      if (code === 'RATE_LIMITED') {
        say(claim, 'ORDER_LATER', { next: typeof details['next'] === 'string' ? details['next'] : '' });
      } else if (details['ordered'] === true) {
        claim.failedOrders += 1;
        say(claim, 'ORDER_FAILED', { reason: message.slice(-REASON_LENGTH) });
      } else {
        say(claim, code === 'CONFIG_INVALID' ? 'NO_AUTHORITY' : 'DNS_FAILED', { reason: message });
      }
    }
  }

  private async save(claim: DomainClaim, inMs?: number): Promise<void> {
    const { dataSource, now } = this.deps;
    const at = now();
    const next = claim.problem === 'ORDER_LATER' ? Date.parse(claim.problemParams?.['next'] ?? '') : Number.NaN;
    // Not later than any other: that the domain is still its owner's is to be seen all the while.
    const inTime = at.getTime() + (inMs ?? nextLookMs(claim, at));
    claim.nextCheckAt = new Date(Number.isNaN(next) || claim.verifiedAt !== null ? inTime : next);
    if (!(await saveClaim(dataSource.manager, claim))) {
      // Removed or lost while we looked: what was made of it is cleaned away like anything nobody wants.
      this.changed.add(claim.tenantId);
    }
  }

  private async fail(claim: DomainClaim, error: unknown): Promise<void> {
    this.failures.push(error);
    this.deps.logger.error({ err: error, slug: claim.slug, domain: claim.domain }, 'a domain could not be looked at');
    claim.nextCheckAt = new Date(this.deps.now().getTime() + AGAIN_MS);
    try {
      await saveClaim(this.deps.dataSource.manager, claim);
    } catch (cause) {
      this.failures.push(cause);
    }
  }

  /** Where a stack is being worked on, its operation writes the route last; ours waits for the next turn. */
  private async publish(): Promise<void> {
    for (const tenantId of this.changed) {
      try {
        if (await this.deps.routes.publish(tenantId)) {
          this.changed.delete(tenantId);
        }
      } catch (error) {
        // It stays marked; the others' domains do not wait for one stack whose route cannot be made.
        this.failures.push(error);
      }
    }
  }

  private async clean(): Promise<void> {
    const { dataSource, engineId, certificates, prove, logger } = this.deps;
    const claims = await provenClaims(dataSource.manager, engineId);
    this.proven = claims.filter(({ removedAt }) => removedAt === null);
    for (const claim of await removedClaims(dataSource, engineId, this.deps.now())) {
      if (!this.changed.has(claim.tenantId) && !this.looks.has(claim.id)) {
        await forgetClaim(dataSource.manager, claim);
      }
    }
    const routed = this.routedIn();
    this.noteUnrouted(routed);
    const keep = claims.filter(({ removedAt, tenantId }) => removedAt === null || this.changed.has(tenantId));
    // Files of the agent that leads by now, if this one does no more.
    await prove();
    const removed = await removeDomainCertificates(
      certificates().dataDir,
      (domain) => [...keep, ...this.looks.values()].some((known) => known.domain === domain) || routed(domain) !== null,
    );
    removed.forEach((domain) => logger.info({ domain }, 'the certificate of a domain was removed'));
  }

  /** Those that a route should carry and none does, although their stack has one: no file may carry them. */
  private noteUnrouted(routed: (domain: string) => string | null): void {
    const { folder, logger } = this.deps;
    const files = new Set(folder.files().map(({ name }) => name));
    const before = this.unrouted;
    this.unrouted = this.proven.filter(
      ({ domain, slug, tenantId, certificateUntil, awaySince }) =>
        certificateUntil !== null &&
        awaySince === null &&
        !this.changed.has(tenantId) &&
        files.has(tenantFileName(slug)) &&
        routed(domain) === null,
    );
    for (const { id, slug, domain } of this.unrouted) {
      if (before.every((known) => known.id !== id)) {
        logger.error({ slug, domain }, 'a domain was left out of its stack’s route');
      }
    }
  }

  /** The name of the file that carries a domain, null where none does. */
  private routedIn(): (domain: string) => string | null {
    const files = new Map(
      this.deps.folder
        .files()
        .flatMap(({ name, content }) =>
          [...content.matchAll(/\/([a-z]+\/[a-z0-9.-]+)[.]crt"/g)].map(
            ([, certificate]) => [certificate, name] as const,
          ),
        ),
    );
    return (domain) => files.get(domainCertificateName(domain)) ?? null;
  }
}

/** Those whose owner wants them no more: due from the moment of their removal. */
async function removedClaims(dataSource: Database, engineId: string, now: Date): Promise<DomainClaim[]> {
  return (await dueClaims(dataSource.manager, engineId, now)).filter(({ removedAt }) => removedAt !== null);
}

/** What of a claim its stack's route says: the same text means the same route. */
const routeOf = ({ verifiedAt, certificateUntil, awaySince }: DomainClaim): string =>
  verifiedAt !== null && awaySince === null ? String(certificateUntil?.getTime()) : '';

function say(claim: DomainClaim, problem: DomainProblem | null, params: Record<string, string> = {}): void {
  claim.problem = problem;
  claim.problemParams = problem === null ? null : params;
}
