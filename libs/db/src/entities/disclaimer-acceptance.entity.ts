import { Column, Entity, ForeignKey, PrimaryColumn, Unique } from 'typeorm';
import { AccountEntity } from './account.entity.js';

/** Proof of who accepted which text, when and from where. The hash is of the exact text shown. */
@Entity('disclaimer_acceptances')
@Unique('uq_disclaimer_acceptances_account_version', ['accountId', 'version'])
export class DisclaimerAcceptanceEntity {
  @PrimaryColumn('uuid')
  id: string;

  @ForeignKey(() => AccountEntity, { onDelete: 'CASCADE' })
  @Column('uuid')
  accountId: string;

  @Column('text')
  version: string;

  @Column('text')
  sha256: string;

  @Column('timestamptz')
  acceptedAt: Date;

  @Column('text', { nullable: true })
  ip: string | null;
}
