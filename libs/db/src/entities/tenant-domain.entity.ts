import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import type { DomainProblem } from '#libs/contracts';
import { TenantEntity } from './tenant.entity.js';

/**
 * A name of an owner's own that is to lead to their dashboard. Anybody may claim any; what is proven belongs to one stack
 * at a time, so that a claim nobody can prove keeps nobody out.
 */
@Entity('tenant_domains')
@Check('tenant_domains_lower', `domain = lower(domain)`)
@Index('tenant_domains_owner', ['domain'], { unique: true, where: 'verified_at is not null and removed_at is null' })
@Index('tenant_domains_tenant', ['tenantId', 'domain'], { unique: true, where: 'removed_at is null' })
@Index('tenant_domains_due', ['nextCheckAt'])
export class TenantDomainEntity {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'tenant_domains_pk' })
  id: string;

  @Column('uuid')
  @ForeignKey(() => TenantEntity, { name: 'tenant_domains_tenant_fk', onDelete: 'CASCADE' })
  tenantId: string;

  /** ASCII, in lower case. */
  @Column('text')
  domain: string;

  /** The TXT record that proves this claim. */
  @Column('text')
  challenge: string;

  @Column('timestamptz', { nullable: true })
  verifiedAt: Date | null;

  /** Its owner wants it no more; the row goes once the proxy has forgotten it. */
  @Column('timestamptz', { nullable: true })
  removedAt: Date | null;

  /** End of the certificate that is served; null where there is none. */
  @Column('timestamptz', { nullable: true })
  certificateUntil: Date | null;

  @Column('text', { nullable: true })
  problem: DomainProblem | null;

  @Column('jsonb', { nullable: true })
  problemParams: Record<string, string> | null;

  /** When its proof and every address were last seen to be right. */
  @Column('timestamptz', { nullable: true })
  confirmedAt: Date | null;

  /** Since when a proven one leads elsewhere, or has not been confirmed for too long; nobody is served there then. */
  @Column('timestamptz', { nullable: true })
  awaySince: Date | null;

  /** When its owner was told that it leads elsewhere; null again once they were told that it is back. */
  @Column('timestamptz', { nullable: true })
  toldAwayAt: Date | null;

  /** Orders that failed since the last good one. */
  @Column('integer')
  failedOrders: number;

  /** Where the platform's own names led when it was last looked at. */
  @Column('jsonb')
  addresses: string[];

  @Column('timestamptz', { nullable: true })
  checkedAt: Date | null;

  @Column('timestamptz')
  nextCheckAt: Date;

  @Column('timestamptz')
  createdAt: Date;
}
