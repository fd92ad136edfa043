import { isIP } from 'node:net';
import { domainToASCII } from 'node:url';
import type { EntityManager } from 'typeorm';
import { appendAudit } from '#libs/audit';
import { httpsOrigin } from '#libs/config';
import { DomainError, MOST_DOMAINS, type Actor, type DomainList, type DomainView } from '#libs/contracts';
import { newId, TenantDomainEntity, tx, type TenantEntity } from '#libs/db';
import {
  domainMessage,
  domainProblem,
  domainRefusal,
  domainState,
  isTrusted,
  recordsToSet,
  REFUSAL_TEXT,
} from './domain/own-domain.js';
import { newChallenge } from './domain-claims.js';
import { stackHost } from './domain/names.js';
import type { Places, TenantDeps } from './settings.js';
import { findStack, lockStack } from './stack.change.js';

/**
 * The name as it is kept: ASCII (a letter that only looks like another shows as punycode), lower case, no dot at the
 * end. Throws VALIDATION_FAILED with `details.reason`.
 */
export function parseDomain(text: string, { portalDomain, tenantDomain }: Places): string {
  const plain = text.trim().replace(/\.$/, '');
  const bare = plain.replace(/^\[|\]$/g, '');
  // A name and nothing else: the conversion would cut off a path, and give back nothing for what no URL can hold.
  const domain = /[/\\?#@:%*\s]/.test(plain) ? plain : domainToASCII(plain).toLowerCase();
  const refusal =
    isIP(bare) !== 0 || isIP(domain) !== 0 ? 'address' : domainRefusal(domain || '-.-', [portalDomain, tenantDomain]);
  if (refusal !== null) {
    throw new DomainError('VALIDATION_FAILED', {
      message: REFUSAL_TEXT[refusal],
      details: { reason: refusal, fields: { domain: [REFUSAL_TEXT[refusal]] } },
    });
  }
  return domain;
}

/** Domains of an owner's own, as they order them; what comes of it is the agent's work. */
export class DomainService {
  constructor(private readonly deps: Pick<TenantDeps, 'dataSource' | 'now' | 'places'>) {}

  /** In the order they were added. */
  async list(actor: Actor, slug: string): Promise<DomainList> {
    const db = this.deps.dataSource.manager;
    const tenant = await findStack(db, actor, slug);
    const rows = await claimsOf(db, tenant.id);
    return { items: rows.map((row) => this.view(row, tenant.slug)), next: null };
  }

  /** Claims a domain. Throws VALIDATION_FAILED, QUOTA_EXCEEDED, WRONG_STATE; the same again is the same claim. */
  async add(actor: Actor, slug: string, text: string): Promise<DomainView> {
    const domain = parseDomain(text, this.deps.places);
    return tx(this.deps.dataSource, async (db) => {
      const tenant = await lockStack(db, actor, slug, 'repair');
      const rows = await claimsOf(db, tenant.id);
      const known = rows.find((row) => row.domain === domain);
      if (known) {
        return this.view(known, slug);
      }
      if (rows.length >= MOST_DOMAINS) {
        throw new DomainError('QUOTA_EXCEEDED', {
          message: `A stack has at most ${MOST_DOMAINS} domains. Remove one first.`,
          details: { limit: 'domains', allowed: MOST_DOMAINS, used: rows.length },
        });
      }
      const now = this.deps.now();
      const row = db.create(TenantDomainEntity, {
        id: newId(),
        tenantId: tenant.id,
        domain,
        challenge: newChallenge(),
        verifiedAt: null,
        removedAt: null,
        certificateUntil: null,
        problem: null,
        problemParams: null,
        confirmedAt: null,
        awaySince: null,
        toldAwayAt: null,
        failedOrders: 0,
        addresses: [],
        checkedAt: null,
        nextCheckAt: now,
        createdAt: now,
      });
      await db.insert(TenantDomainEntity, row);
      await this.audit(db, actor, 'stack.domain_add', { tenant, domain });
      return this.view(row, slug);
    });
  }

  /** Has it looked at now instead of later. */
  async verify(actor: Actor, slug: string, domain: string): Promise<DomainView> {
    return tx(this.deps.dataSource, async (db) => {
      const tenant = await lockStack(db, actor, slug, 'repair');
      const row = await claimOf(db, tenant, domain);
      // A failed order is not repeated sooner for being asked: the authority counts each, and so do we.
      if (row.problem !== 'ORDER_FAILED' && row.problem !== 'ORDER_LATER') {
        row.nextCheckAt = this.deps.now();
        await db.update(TenantDomainEntity, { id: row.id }, { nextCheckAt: row.nextCheckAt });
      }
      await this.audit(db, actor, 'stack.domain_verify', { tenant, domain });
      return this.view(row, slug);
    });
  }

  /** From now on it leads nowhere; its certificate goes with it. */
  async remove(actor: Actor, slug: string, domain: string): Promise<void> {
    await tx(this.deps.dataSource, async (db) => {
      // Legal while the stack is being destroyed, as a destroy is.
      const tenant = await lockStack(db, actor, slug, 'destroy');
      const row = await claimOf(db, tenant, domain);
      const now = this.deps.now();
      await db.update(TenantDomainEntity, { id: row.id }, { removedAt: now, nextCheckAt: now });
      await this.audit(db, actor, 'stack.domain_remove', { tenant, domain });
    });
  }

  private view(row: TenantDomainEntity, slug: string): DomainView {
    const { tenantDomain, httpsPort } = this.deps.places;
    const now = this.deps.now();
    const problem = domainProblem(row, now);
    return {
      domain: row.domain,
      url: httpsOrigin(row.domain, httpsPort),
      state: domainState(row, now),
      problem,
      problemParams: row.problemParams,
      message: domainMessage(problem, row.problemParams),
      records: recordsToSet(row, stackHost('dashboard', slug, tenantDomain)),
      certificateUntil: row.certificateUntil?.toISOString() ?? null,
      verifiedAt: row.verifiedAt?.toISOString() ?? null,
      confirmedAt: row.confirmedAt?.toISOString() ?? null,
      checkedAt: row.checkedAt?.toISOString() ?? null,
      nextCheckAt: row.nextCheckAt.toISOString(),
      createdAt: row.createdAt.toISOString(),
    };
  }

  private async audit(
    db: EntityManager,
    actor: Actor,
    action: string,
    { tenant, domain }: { tenant: TenantEntity; domain: string },
  ): Promise<void> {
    await appendAudit(db, {
      actor,
      action,
      target: { kind: 'stack', id: tenant.id },
      after: { slug: tenant.slug, domain },
    });
  }
}

async function claimsOf(db: EntityManager, tenantId: string): Promise<TenantDomainEntity[]> {
  const rows = await db.find(TenantDomainEntity, { where: { tenantId }, order: { createdAt: 'ASC', id: 'ASC' } });
  return rows.filter(({ removedAt }) => removedAt === null);
}

async function claimOf(db: EntityManager, tenant: TenantEntity, domain: string): Promise<TenantDomainEntity> {
  const row = (await claimsOf(db, tenant.id)).find((claim) => claim.domain === domain);
  if (!row) {
    throw new DomainError('NOT_FOUND', { message: `${tenant.slug} has no domain ${domain}.` });
  }
  return row;
}

/**
 * What a domain is to a sign-on: only a trusted one of that very stack may be led to. `unproven`: it is the stack's, and
 * whose it is by now was not seen lately.
 */
export async function signOnPlace(
  db: EntityManager,
  { tenantId, domain }: { tenantId: string; domain: string },
  now: Date,
): Promise<'unknown' | 'unproven' | 'trusted'> {
  const row = (await claimsOf(db, tenantId)).find((claim) => claim.domain === domain && claim.verifiedAt !== null);
  return row === undefined ? 'unknown' : isTrusted(row, now) ? 'trusted' : 'unproven';
}
