import { In, IsNull, LessThanOrEqual, Not, type EntityManager } from 'typeorm';
import { appendAudit } from '#libs/audit';
import { DOMAIN_CHALLENGE_START } from '#libs/contracts';
import { randomToken } from '#libs/crypto';
import { TenantDomainEntity, TenantEntity, tx, violatedUnique, type Database, type Tx } from '#libs/db';

export type DomainClaim = TenantDomainEntity & { slug: string; accountId: string };

const UNPROVEN = {
  verifiedAt: null,
  certificateUntil: null,
  confirmedAt: null,
  awaySince: null,
  failedOrders: 0,
  problemParams: {},
} as const;

const ACTOR = { kind: 'system', name: 'domains' } as const;

/** The record that proves a claim, made anew whenever a proof is lost: what once stood in DNS can be looked up for ever. */
export const newChallenge = (): string => `${DOMAIN_CHALLENGE_START}${randomToken()}`;

/** Domains that routes carry, by stack: proven, wanted, with a certificate, and not leading elsewhere. */
export async function servedDomains(
  db: EntityManager,
  tenantIds: readonly string[],
): Promise<Map<string, readonly string[]>> {
  const rows = await db.findBy(TenantDomainEntity, {
    tenantId: In([...tenantIds]),
    verifiedAt: Not(IsNull()),
    certificateUntil: Not(IsNull()),
    awaySince: IsNull(),
    removedAt: IsNull(),
  });
  return new Map(
    [...Map.groupBy(rows, ({ tenantId }) => tenantId)].map(([id, own]) => [id, own.map(({ domain }) => domain)]),
  );
}

/** Claims on stacks of that engine which are to be looked at by now, the longest due first. */
export async function dueClaims(db: EntityManager, engineId: string, now: Date): Promise<DomainClaim[]> {
  const rows = await db.find(TenantDomainEntity, {
    where: { nextCheckAt: LessThanOrEqual(now) },
    order: { nextCheckAt: 'ASC' },
  });
  return withSlugs(db, engineId, rows);
}

/** Claims on stacks of that engine that are proven, wanted or not. */
export async function provenClaims(db: EntityManager, engineId: string): Promise<DomainClaim[]> {
  return withSlugs(db, engineId, await db.findBy(TenantDomainEntity, { verifiedAt: Not(IsNull()) }));
}

async function withSlugs(
  db: EntityManager,
  engineId: string,
  rows: readonly TenantDomainEntity[],
): Promise<DomainClaim[]> {
  if (rows.length === 0) {
    return [];
  }
  const tenants = await db.find(TenantEntity, {
    where: { id: In(rows.map(({ tenantId }) => tenantId)), engineId },
    select: { id: true, slug: true, accountId: true },
  });
  const stacks = new Map(tenants.map(({ id, slug, accountId }) => [id, { slug, accountId }]));
  return rows.flatMap((row) => {
    const stack = stacks.get(row.tenantId);
    return stack === undefined ? [] : [Object.assign(row, stack)];
  });
}

/**
 * Writes what was found out, unless the claim was removed, or its proof taken away, meanwhile; false then.
 */
export async function saveClaim(db: EntityManager, claim: DomainClaim): Promise<boolean> {
  const { id, verifiedAt, certificateUntil, problem, problemParams, confirmedAt, awaySince, failedOrders } = claim;
  const { addresses, checkedAt, nextCheckAt } = claim;
  const { affected } = await db.update(
    TenantDomainEntity,
    { id, removedAt: IsNull(), verifiedAt: verifiedAt === null ? IsNull() : Not(IsNull()) },
    {
      certificateUntil,
      problem,
      problemParams,
      confirmedAt,
      awaySince,
      failedOrders,
      addresses,
      checkedAt,
      nextCheckAt,
    },
  );
  return affected === 1;
}

export type ClaimEnd =
  | { outcome: 'proven' }
  /** Another stack has it, and its TXT record stands. */
  | { outcome: 'taken' }
  /** Another stack had it until now, or is still being parted from it: to be asked again in a moment. */
  | { outcome: 'later'; from: string | null };

interface Proving {
  /** TXT records at the ownership name. */
  texts: readonly string[];
  now: Date;
  /** Whether no other stack's route names the domain, nor will by an operation that is under way. */
  isParted: () => boolean;
}

/**
 * Makes a claim whose record is published the one that counts. Where another stack has the domain, whoever controls its
 * DNS decides: the holder keeps it while its own record is there, and loses it without.
 */
export async function proveClaim(
  database: Database,
  claim: DomainClaim,
  { texts, now, isParted }: Proving,
): Promise<ClaimEnd> {
  try {
    return await tx(database, async (db) => {
      const others = await db.find(TenantDomainEntity, {
        where: { domain: claim.domain, verifiedAt: Not(IsNull()), id: Not(claim.id) },
        lock: { mode: 'pessimistic_write' },
      });
      const leaving = others.find(({ removedAt }) => removedAt !== null);
      if (leaving) {
        return { outcome: 'later', from: leaving.tenantId };
      }
      const [holder] = others;
      if (holder && texts.includes(holder.challenge)) {
        return { outcome: 'taken' };
      }
      if (holder) {
        await db.update(
          TenantDomainEntity,
          { id: holder.id },
          { ...UNPROVEN, challenge: newChallenge(), problem: 'TAKEN' },
        );
        await audit(db, 'stack.domain_lost', { tenantId: holder.tenantId, domain: claim.domain });
        return { outcome: 'later', from: holder.tenantId };
      }
      // Two route files with one host: the proxy would choose.
      if (!isParted()) {
        return { outcome: 'later', from: null };
      }
      const { affected } = await db.update(
        TenantDomainEntity,
        { id: claim.id, removedAt: IsNull() },
        { verifiedAt: now },
      );
      if (affected !== 1) {
        // Removed meanwhile: what nobody wants is neither proven nor said to be.
        return { outcome: 'later', from: null };
      }
      await audit(db, 'stack.domain_proven', { tenantId: claim.tenantId, domain: claim.domain });
      return { outcome: 'proven' };
    });
  } catch (error) {
    // Two proofs in the same moment: the other was first, and is met at the next look.
    if (violatedUnique(error) !== null) {
      return { outcome: 'taken' };
    }
    throw error;
  }
}

/** Takes the proof from a claim that was away for too long: who has the domain by now must prove it with a new record. */
export async function forgetProof(database: Database, claim: DomainClaim): Promise<void> {
  const { id, tenantId, domain, awaySince, nextCheckAt } = claim;
  await tx(database, async (db) => {
    const { affected } = await db.update(
      TenantDomainEntity,
      { id, removedAt: IsNull(), verifiedAt: Not(IsNull()) },
      { ...UNPROVEN, challenge: newChallenge(), problem: 'TXT_MISSING', checkedAt: claim.checkedAt, nextCheckAt },
    );
    if (affected === 1) {
      await audit(db, 'stack.domain_lost', { tenantId, domain, awaySince: awaySince?.toISOString() });
    }
  });
}

export async function auditIssued(db: Tx, { tenantId, domain, certificateUntil }: DomainClaim): Promise<void> {
  await audit(db, 'stack.domain_issued', { tenantId, domain, until: certificateUntil?.toISOString() });
}

/** Its row goes, after all that came of it has gone. */
export async function forgetClaim(db: EntityManager, claim: DomainClaim): Promise<void> {
  await db.delete(TenantDomainEntity, { id: claim.id });
}

async function audit(
  db: EntityManager,
  action: string,
  {
    tenantId,
    ...after
  }: { tenantId: string; domain: string; until?: string | undefined; awaySince?: string | undefined },
): Promise<void> {
  await appendAudit(db, { actor: ACTOR, action, target: { kind: 'stack', id: tenantId }, after });
}
