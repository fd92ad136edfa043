import { z } from 'zod';
import { DomainError } from '#libs/contracts';
import { ReleaseEntity, tx, type Tx } from '#libs/db';
import {
  changesMajor,
  databaseMajorOf,
  foreignImage,
  requireMigrations,
  UNTOUCHED,
  type Template,
} from '#libs/tenants';
import { lead, serving } from './converge.js';
import { databaseImages } from './database-images.js';
import type { PhaseContext } from './phase-context.js';
import type { StackFacts } from './planner/want.js';

const inputSchema = z.object({ from: z.string(), to: z.string() });
const ASK_MS = 20_000;

/**
 * Whether the release that is asked for is still offered and the portal has what it needs, the engine has all its images
 * and those of the release before, which a rollback makes containers of, its databases are what it says, and the host
 * has room: for a second copy of the data where that is to be carried, and else for what is not yet used up.
 */
export async function readyToUpgrade(context: PhaseContext): Promise<string> {
  const { deps, facts, operation } = context;
  const { to } = inputSchema.parse(operation.input);
  const release = await deps.dataSource.manager.findOneBy(ReleaseEntity, { id: to });
  if (!release || release.state === 'withdrawn') {
    throw withdrawn(to, { touched: false });
  }
  await requireMigrations(deps.dataSource.manager, release);
  await requireImages(context, release.images, (image, service) => {
    return `The engine has no image ${image}, which ${to} needs for ${service}. The stack stays as it is.`;
  });
  await requireImages(context, facts.images, (image, service) => {
    return `The engine has no image ${image}, which ${facts.release} needs for ${service}: the stack could not go back to it. The stack stays as it is. Bring the image back first, with docker load or scripts/up.`;
  });
  const template = release.definition as Template;
  const silent = await requireDatabaseMajor(context, release);
  if (!changesMajor(facts.template, template)) {
    await requireRoom(context);
    return `to ${release.version}`;
  }
  await deps.backups.roomToCarry(context);
  const [before, after] = [facts.template, template].map(databaseMajorOf);
  return `to ${release.version}, from PostgreSQL ${before} to ${after}${silent}`;
}

/**
 * By what a release says of its databases the stack's data is carried, or is not. Says of which image nobody knows
 * whether it is so; throws WRONG_STATE (details.why `image_major`) for one that is another.
 */
async function requireDatabaseMajor({ engine, signal }: PhaseContext, release: ReleaseEntity): Promise<string> {
  const template = release.definition as Template;
  const databases = await databaseImages(engine, { template, images: release.images }, { deadlineMs: ASK_MS, signal });
  const foreign = foreignImage(template, databases);
  if (foreign !== null) {
    throw new DomainError('WRONG_STATE', {
      message: `${foreign} The stack stays as it is. Withdraw ${release.id}, and make a release that says what its image has (aviary release make … --database-major).`,
      details: { why: 'image_major', to: release.id },
    });
  }
  const silent = databases.filter(({ has }) => has === null).map(({ image }) => image);
  return silent.length === 0 ? '' : `; ${silent.join(', ')} does not say which PostgreSQL it has`;
}

async function requireImages(
  { engine, operation, signal }: PhaseContext,
  images: Readonly<Record<string, string>>,
  missing: (image: string, service: string) => string,
): Promise<void> {
  for (const [service, image] of Object.entries(images)) {
    if ((await engine.imageId(image, { deadlineMs: ASK_MS, signal })) === null) {
      const { from, to } = inputSchema.parse(operation.input);
      throw new DomainError('IMAGE_MISSING', {
        message: missing(image, service),
        details: { image, service, from, to },
      });
    }
  }
}

/** A backup is taken and restored beside the stack first: on a full disk that would be hours for nothing. */
async function requireRoom({ deps }: PhaseContext): Promise<void> {
  const { freeMb, floorMb } = await deps.hostDisk();
  if (freeMb < floorMb) {
    throw new DomainError('NO_CAPACITY', {
      message: `The host has ${freeMb} MB of disk left, less than the ${floorMb} MB that stay free. The stack stays as it is. Make room first.`,
      details: { freeMb, floorMb },
    });
  }
}

/**
 * The stack as the release has it that it goes to; null where its database stays of the major version it is of, and so
 * its volumes stay too.
 */
export async function targetOf({ deps, facts, operation }: PhaseContext): Promise<StackFacts | null> {
  const { to } = inputSchema.parse(operation.input);
  const release = await deps.dataSource.manager.findOneByOrFail(ReleaseEntity, { id: to });
  const template = release.definition as Template;
  return changesMajor(facts.template, template)
    ? { ...facts, template, images: release.images, release: release.version }
    : null;
}

interface Standing {
  /** Whether more than the address was led away by now: then it ends by a rollback. */
  touched: boolean;
}

/** Why an upgrade ended before the stack was on its release. */
function withdrawn(to: string, { touched }: Standing): DomainError {
  return new DomainError('WRONG_STATE', {
    message: touched
      ? `${to} was withdrawn meanwhile. The stack goes back to what it was.`
      : `${to} was withdrawn. The stack stays as it is.`,
    details: { why: 'withdrawn', to, ...(touched ? {} : UNTOUCHED) },
  });
}

/**
 * Why it is not gone to that release any more, null where it is; `adopted` once the stack is on it, by an agent that
 * died behind it. Locks the stack's row: whoever takes our place does it behind this lock, and then we are fenced off.
 */
async function lookAgain(
  db: Tx,
  { facts, operation, prove }: PhaseContext,
  standing: Standing,
): Promise<{ instead: DomainError | null; adopted: boolean }> {
  const { to } = inputSchema.parse(operation.input);
  await db.query('select from tenants where id = $1 for update', [facts.tenantId]);
  await prove();
  const [before] = await db.query<{ withdrawn: boolean }[]>(
    `select r.state = 'withdrawn' as withdrawn from tenants t, releases r
      where t.id = $1 and r.id = $2 and t.release_id <> r.id`,
    [facts.tenantId, to],
  );
  return { instead: before?.withdrawn === true ? withdrawn(to, standing) : null, adopted: before === undefined };
}

async function leadBackAnd(context: PhaseContext, error: DomainError, { touched }: Standing): Promise<never> {
  if (!touched) {
    const { deps, facts } = context;
    await lead(context, deps.routes.render(facts, serving(facts)));
  }
  throw error;
}

/**
 * Throws WRONG_STATE where the release was withdrawn since the look before: the backup may have taken hours. Where only
 * the address was led away by then, it leads back.
 */
export async function requireStillAsked(context: PhaseContext, standing: Standing): Promise<void> {
  const { instead } = await tx(context.deps.dataSource, (db) => lookAgain(db, context, standing));
  if (instead !== null) {
    await leadBackAnd(context, instead, standing);
  }
}

/**
 * From here on the stack is wanted as the new release has it, on the volumes that its data was carried to, where it
 * was. Throws as `requireStillAsked`.
 */
export async function adoptRelease(context: PhaseContext): Promise<string> {
  const { deps, facts, operation } = context;
  const { to } = inputSchema.parse(operation.input);
  const carried = (await targetOf(context)) !== null;
  const standing = { touched: carried };
  const instead = await tx(deps.dataSource, async (db) => {
    const seen = await lookAgain(db, context, standing);
    if (seen.instead === null && !seen.adopted) {
      await (carried ? adoptCarried(db, context, to) : adopt(db, context, to));
    }
    return seen.instead;
  });
  if (instead !== null) {
    await leadBackAnd(context, instead, standing);
  }
  return `${facts.release} before`;
}

async function adopt(db: Tx, { facts }: PhaseContext, to: string): Promise<void> {
  await db.query(`update tenants set release_id = $2 where id = $1 and desired <> 'deleted'`, [facts.tenantId, to]);
}

/**
 * Release and volumes in one: no server of the one ever starts on data of the other. How it was is noted in the
 * operation, which is where whoever leads the stack back reads it.
 */
async function adoptCarried(db: Tx, { facts, operation }: PhaseContext, to: string): Promise<void> {
  await db.query(
    `update operations o
        set input = o.input || jsonb_build_object('back', jsonb_build_object(
              'epoch', t.epoch, 'kept', to_jsonb(t.kept_epochs), 'carried', to_jsonb(t.carried_epochs)))
       from tenants t where o.id = $2 and t.id = $1`,
    [facts.tenantId, operation.id],
  );
  const [, changed] = await db.query<[unknown, number]>(
    `update tenants
        set release_id = $2, carried_epochs = carried_epochs || kept_epochs || epoch, kept_epochs = '{}',
            epoch = next_epoch, next_epoch = null
      where id = $1 and epoch = $3 and next_epoch is not null and desired <> 'deleted'`,
    [facts.tenantId, to, facts.epoch],
  );
  if (changed !== 1) {
    throw new DomainError('LOST_RACE');
  }
}
