import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn, Unique } from 'typeorm';
import type { AccountState, Role } from '#libs/contracts';
import { PlanEntity } from './plan.entity.js';

@Entity('accounts')
@Index('uq_accounts_email', ['email'], { unique: true, where: `state <> 'pending'` })
@Index('ix_accounts_email', ['email'])
@Unique('uq_accounts_username', ['username'])
@Check('ck_accounts_lower_case', 'email = lower(email) and username = lower(username)')
@Check('ck_accounts_role', `role in ('subscriber', 'operator')`)
@Check(
  'ck_accounts_state',
  `state in ('pending', 'pending_api', 'pending_approval', 'rejected', 'active', 'suspended', 'banned')`,
)
export class AccountEntity {
  @PrimaryColumn('uuid')
  id: string;

  /** Whoever confirms an address has it; until then any number of sign-ups may have named it. */
  @Column('text')
  email: string;

  @Column('text')
  username: string;

  /** bcrypt, with its cost and salt inside. */
  @Column('text')
  passwordHash: string;

  @Column('text')
  role: Role;

  @Column('text')
  state: AccountState;

  @Index('ix_accounts_plan_id')
  @ForeignKey(() => PlanEntity)
  @Column('uuid')
  planId: string;

  @Column('timestamptz', { nullable: true })
  emailVerifiedAt: Date | null;

  @Column('timestamptz', { nullable: true })
  trialEndsAt: Date | null;

  @Column('timestamptz')
  createdAt: Date;

  @Column('timestamptz')
  updatedAt: Date;
}
