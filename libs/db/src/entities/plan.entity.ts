import { Check, Column, Entity, PrimaryColumn, Unique } from 'typeorm';
import type { StackLimits } from '#libs/contracts';

/** What an account may have. Operators edit these rows; the first ones are seeded by the migration. */
@Entity('plans')
@Unique('uq_plans_code', ['code'])
@Check('ck_plans_money', 'price_minor >= 0 and stacks >= 0 and trial_days >= 0')
@Check(
  'ck_plans_kept',
  'keep_daily between 1 and 366 and keep_weekly between 0 and 260 and keep_monthly between 0 and 120',
)
@Check('ck_plans_backup_age', 'backup_max_age_hours between 1 and 8784')
@Check('ck_plans_rates', 'profit_share_bps between 0 and 10000 and max_position_bps between 1 and 10000')
export class PlanEntity {
  @PrimaryColumn('uuid')
  id: string;

  /** Stable short name: free, basic, pro, premium. */
  @Column('text')
  code: string;

  @Column('text')
  name: string;

  /** Order on pages, cheapest first. */
  @Column('integer')
  position: number;

  /** A month, in minor units of `currency` (cents). */
  @Column('integer')
  priceMinor: number;

  @Column('text')
  currency: string;

  /** Share of profit, in hundredths of a percent. */
  @Column('integer')
  profitShareBps: number;

  /** Largest position as a part of equity, in hundredths of a percent. */
  @Column('integer')
  maxPositionBps: number;

  @Column('integer')
  leverage: number;

  @Column('integer')
  trialDays: number;

  /** How many stacks an account of this plan may have. */
  @Column('integer')
  stacks: number;

  /** Limits of each of them. */
  @Column('jsonb')
  limits: StackLimits;

  /** Read by the release before; it goes with the next. */
  @Column('integer')
  backupRetentionDays: number;

  /** Of so many days, weeks and months that have a good backup the newest of each stays. */
  @Column('integer', { default: 7 })
  keepDaily: number;

  @Column('integer', { default: 0 })
  keepWeekly: number;

  @Column('integer', { default: 0 })
  keepMonthly: number;

  /** For how long what a running stack did may be in no backup that counts, before operators are told. */
  @Column('integer', { default: 28 })
  backupMaxAgeHours: number;

  /** 1 is answered first. */
  @Column('integer')
  supportPriority: number;

  /** Names of strategies; null means all. */
  @Column('jsonb', { nullable: true })
  strategies: string[] | null;

  @Column('timestamptz')
  createdAt: Date;
}
