import { Column, Entity, ForeignKey, Index, PrimaryColumn, Unique } from 'typeorm';

const wide = {
  to: (value: number): number => value,
  from: (value: string | number): number => Number(value),
};

/** Who did what to what, from where; written in the transaction that did it and never changed. */
@Entity('audit_entries')
@Index('ix_audit_entries_at', ['at'])
@Index('ix_audit_entries_actor_id', ['actorId', 'at'])
@Index('ix_audit_entries_target', ['targetKind', 'targetId', 'at'])
export class AuditEntryEntity {
  @PrimaryColumn('uuid')
  id: string;

  @Column('timestamptz')
  at: Date;

  /** subscriber, operator or system. */
  @Column('text')
  actorKind: string;

  @Column('uuid', { nullable: true })
  actorId: string | null;

  @Column('text')
  actorName: string;

  /** portal or cli; null for the system. */
  @Column('text', { nullable: true })
  via: string | null;

  @Column('text', { nullable: true })
  ip: string | null;

  @Column('uuid', { nullable: true })
  sessionId: string | null;

  /** Such as `account.verify`. */
  @Column('text')
  action: string;

  @Column('text')
  targetKind: string;

  @Column('text')
  targetId: string;

  @Column('jsonb', { nullable: true })
  before: object | null;

  @Column('jsonb', { nullable: true })
  after: object | null;
}

/** The hash chain over the entries, in a table of its own because entries themselves are never updated. */
@Entity('audit_seals')
@Unique('uq_audit_seals_entry_id', ['entryId'])
export class AuditSealEntity {
  @PrimaryColumn('bigint', { transformer: wide })
  seq: number;

  @ForeignKey(() => AuditEntryEntity)
  @Column('uuid')
  entryId: string;

  /** sha256 over the entry's canonical form, hex. */
  @Column('text')
  entryHash: string;

  /** sha256 over the previous seal's hash, this seq and this entry hash, hex. */
  @Column('text')
  hash: string;

  @Column('timestamptz')
  sealedAt: Date;
}
