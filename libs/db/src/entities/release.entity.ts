import { Check, Column, Entity, Index, PrimaryColumn } from 'typeorm';

/** A template version with its images pinned by id. `definition` is the validated template. */
@Entity('releases')
@Check('releases_state', `state in ('draft', 'candidate', 'stable', 'withdrawn')`)
@Index('releases_template', ['template', 'createdAt'])
export class ReleaseEntity {
  /** `<template>@<version>+<first 8 digits of the sha256 of template and image ids>`. */
  @PrimaryColumn('text', { primaryKeyConstraintName: 'releases_pk' })
  id: string;

  @Column('text')
  template: string;

  @Column('text')
  version: string;

  @Column('jsonb')
  definition: object;

  /** Image id (`sha256:…`) by service. */
  @Column('jsonb')
  images: Record<string, string>;

  @Column('text')
  state: 'draft' | 'candidate' | 'stable' | 'withdrawn';

  /** What is new, for people. */
  @Column('text', { default: '' })
  notes: string;

  @Column('timestamptz')
  createdAt: Date;
}
