import { createHash } from 'node:crypto';
import type { EntityManager } from 'typeorm';
import { DomainError } from '#libs/contracts';
import { ReleaseEntity, tx, type Database, type Tx } from '#libs/db';
import { lacking } from './domain/made-template.js';
import type { Template } from './domain/template.js';

/** A template with its images pinned. */
export interface Pinned {
  template: Template;
  /** Image id by service. */
  images: Record<string, string>;
}

/** `<template>@<version>+<digest>`: the same template with the same images is the same release. */
export function releaseIdOf({ template, images }: Pinned): string {
  const digest = createHash('sha256')
    .update(JSON.stringify([template, images]))
    .digest('hex')
    .slice(0, 8);
  return `${template.name}@${template.aviary.version}+${digest}`;
}

/** What is registered or made at the same moment waits until the other's row is there. */
export async function lockReleases(db: Pick<Tx, 'query'>): Promise<void> {
  await db.query(`select pg_advisory_xact_lock(hashtext('aviary-releases'))`);
}

interface Registration extends Pinned {
  /** Whether the engine has all of these images. */
  areHere: (images: Readonly<Record<string, string>>) => Promise<boolean>;
  now: Date;
}

/**
 * Registers what ships with the platform, as a draft that a person offers and promotes. It is stable at once where no
 * stack could be made otherwise, though a person wants some to be made: it is the first release of its template, or
 * there are stable ones and this host has the images of none, as one that took the place of a lost host has not. One
 * that is there stays as it is. Gives its id.
 */
export async function registerShipped(database: Database, registration: Registration): Promise<string> {
  const { template, images, areHere, now } = registration;
  const id = releaseIdOf({ template, images });
  const stable = await database.manager.findBy(ReleaseEntity, { template: template.name, state: 'stable' });
  const have = await Promise.all(stable.map((release) => areHere(release.images)));
  const noneServes = stable.length > 0 && !have.includes(true);
  await tx(database, async (db) => {
    await lockReleases(db);
    // Rows are never deleted, so that what was withdrawn counts.
    const isFirst = !(await db.existsBy(ReleaseEntity, { template: template.name }));
    await db
      .createQueryBuilder()
      .insert()
      .into(ReleaseEntity)
      .values({
        id,
        template: template.name,
        version: template.aviary.version,
        definition: template,
        images,
        state: isFirst || noneServes ? 'stable' : 'draft',
        createdAt: now,
      })
      .orIgnore()
      .execute();
  });
  return id;
}

/** Throws WRONG_STATE (details.why `requires`) where the portal's database lacks a migration that the release needs. */
export async function requireMigrations(
  db: Pick<EntityManager, 'query'>,
  { id, definition }: Pick<ReleaseEntity, 'id' | 'definition'>,
): Promise<void> {
  const had = await db.query<{ name: string }[]>('select name from migrations');
  const missing = lacking(
    definition as Template,
    had.map(({ name }) => name),
  );
  if (missing.length > 0) {
    throw new DomainError('WRONG_STATE', {
      message: `${id} needs ${missing.join(', ')}, which this portal’s database has not had. Upgrade the platform to a version that brings it first.`,
      details: { why: 'requires', missing },
    });
  }
}
