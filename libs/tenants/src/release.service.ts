import { json } from 'node:stream/consumers';
import { appendAudit } from '#libs/audit';
import {
  DomainError,
  imagesAnswerSchema,
  RELEASE_MOVES,
  releaseMoves,
  type Actor,
  type ImagesAnswer,
  type MakeRelease,
  type ReleaseList,
  type ReleaseMove,
  type ReleaseNotes,
  type ReleaseView,
} from '#libs/contracts';
import { ReleaseEntity, UpgradeFailureEntity, tx, type Tx } from '#libs/db';
import { requireActor } from './authorise.js';
import { databaseMajorOf, foreignImage } from './domain/database-major.js';
import { madeTemplate, requiredBy } from './domain/made-template.js';
import type { Template } from './domain/template.js';
import type { AgentPort } from './logs/agent-port.js';
import { lockReleases, releaseIdOf, requireMigrations } from './registered-releases.js';
import type { TenantDeps } from './settings.js';

/** A few looks at an engine, each of which it may take its time for. */
const IMAGES_MS = 30_000;

interface ReleaseDeps extends Pick<TenantDeps, 'dataSource' | 'now'> {
  /** It alone can ask the engine what an image is. */
  agent: Pick<AgentPort, 'post'>;
}

/** Releases, as operators make, see and move them. */
export class ReleaseService {
  constructor(private readonly deps: ReleaseDeps) {}

  /** All of them, the newest first. */
  async list(actor: Actor): Promise<ReleaseList> {
    requireOperator(actor);
    return { items: await this.views(), next: null };
  }

  async get(actor: Actor, id: string): Promise<ReleaseView> {
    requireOperator(actor);
    const [view] = await this.views(id);
    if (!view) {
      throw noSuchRelease(id);
    }
    return view;
  }

  /**
   * A draft like a release that is there, its images pinned to what this host's engine has now. Throws NOT_FOUND for a
   * release to be like that there is not, VALIDATION_FAILED for a service there is not, IMAGE_MISSING, WRONG_STATE
   * (details.why `version_taken`, or `image_major` for a database of another PostgreSQL than the release would say), and
   * UNAVAILABLE while the agent is away.
   */
  async make(actor: Actor, wish: MakeRelease): Promise<ReleaseView> {
    requireOperator(actor);
    const like = await this.deps.dataSource.manager.findOneBy(ReleaseEntity, { id: wish.like });
    if (!like) {
      throw noSuchRelease(wish.like);
    }
    const template = madeTemplate(like.definition as Template, wish);
    await this.requireFree(this.deps.dataSource.manager, like.template, wish.version);
    const images = await this.pinned(template, { ...like.images, ...wish.images }, wish);
    const id = releaseIdOf({ template, images });
    const { version, notes } = wish;
    await tx(this.deps.dataSource, async (db) => {
      await lockReleases(db);
      await this.requireFree(db, like.template, version);
      await db.insert(ReleaseEntity, {
        id,
        template: like.template,
        version,
        definition: template,
        images,
        state: 'draft',
        notes,
        createdAt: this.deps.now(),
      });
      await appendAudit(db, {
        actor,
        action: 'release.make',
        target: { kind: 'release', id },
        after: { like: like.id, version, images, requires: requiredBy(template), notes },
      });
    });
    return this.get(actor, id);
  }

  /** Throws NOT_FOUND. */
  async setNotes(actor: Actor, id: string, { notes }: ReleaseNotes): Promise<ReleaseView> {
    requireOperator(actor);
    await tx(this.deps.dataSource, async (db) => {
      const release = await db.findOne(ReleaseEntity, { where: { id }, lock: { mode: 'pessimistic_write' } });
      if (!release) {
        throw noSuchRelease(id);
      }
      await db.update(ReleaseEntity, { id }, { notes });
      await appendAudit(db, {
        actor,
        action: 'release.notes',
        target: { kind: 'release', id },
        before: { notes: release.notes },
        after: { notes },
      });
    });
    return this.get(actor, id);
  }

  /**
   * Throws NOT_FOUND, and WRONG_STATE for a move there is not from its state, or one towards stacks while the portal
   * lacks a migration it needs (details.why `requires`).
   */
  async move(actor: Actor, id: string, move: ReleaseMove): Promise<ReleaseView> {
    requireOperator(actor);
    const { to } = RELEASE_MOVES[move];
    await tx(this.deps.dataSource, async (db) => {
      const release = await db.findOne(ReleaseEntity, { where: { id }, lock: { mode: 'pessimistic_write' } });
      if (!release) {
        throw noSuchRelease(id);
      }
      if (!releaseMoves(release.state).includes(move)) {
        throw new DomainError('WRONG_STATE', {
          message: `${id} is ${release.state}; from there it does not become ${to}.`,
          details: { state: release.state, to },
        });
      }
      if (to !== 'withdrawn') {
        await requireMigrations(db, release);
      }
      await db.update(ReleaseEntity, { id, state: release.state }, { state: to });
      await appendAudit(db, {
        actor,
        action: 'release.move',
        target: { kind: 'release', id },
        before: { state: release.state },
        after: { state: to },
      });
    });
    return this.get(actor, id);
  }

  /** Lets stacks on which an upgrade to it failed be tried again. Gives how many there were. */
  async markFixed(actor: Actor, id: string): Promise<number> {
    requireOperator(actor);
    return tx(this.deps.dataSource, async (db) => {
      const release = await db.findOneBy(ReleaseEntity, { id });
      if (!release) {
        throw noSuchRelease(id);
      }
      const { affected } = await db.delete(UpgradeFailureEntity, { toRelease: id });
      await appendAudit(db, {
        actor,
        action: 'release.fixed',
        target: { kind: 'release', id },
        after: { stacks: affected ?? 0 },
      });
      return affected ?? 0;
    });
  }

  /** Two releases of one version could not be told apart by people. */
  private async requireFree(db: Pick<Tx, 'findOneBy'>, template: string, version: string): Promise<void> {
    const taken = await db.findOneBy(ReleaseEntity, { template, version });
    if (taken) {
      throw new DomainError('WRONG_STATE', {
        message: `${template} has a release ${version} already: ${taken.id}. Choose another version.`,
        details: { why: 'version_taken', release: taken.id },
      });
    }
  }

  /**
   * Ids of the images, by service, those that are named as the engine has them at this moment. Databases are asked for
   * also where nobody named them and the release is to be for another PostgreSQL: that may be all there is to it.
   */
  private async pinned(
    template: Template,
    images: Readonly<Record<string, string>>,
    { images: named, databaseMajor }: MakeRelease,
  ): Promise<Record<string, string>> {
    const databases =
      databaseMajor === undefined ? [] : template.aviary.backup.postgres.flatMap((service) => images[service] ?? []);
    const references = [...new Set([...Object.values(named), ...databases])];
    if (references.length === 0) {
      return { ...images };
    }
    const answer = await this.deps.agent.post('/images', { references }, AbortSignal.timeout(IMAGES_MS));
    const { ids, databaseMajors } = imagesAnswerSchema.parse(await json(answer));
    const found = Object.entries(named).map(([service, reference]) => {
      const id = ids[reference] ?? null;
      if (id === null) {
        throw new DomainError('IMAGE_MISSING', {
          message: `The engine has no image ${reference} for ${service}. Bring it there first, with docker pull, docker load or a build; nothing was made.`,
          details: { image: reference, service },
        });
      }
      return [service, id];
    });
    requireDatabaseMajor(template, images, databaseMajors);
    return { ...images, ...(Object.fromEntries(found) as Record<string, string>) };
  }

  private async views(id?: string): Promise<ReleaseView[]> {
    const rows = await this.deps.dataSource.query<ReleaseRow[]>(
      `select r.id, r.template, r.version, r.state, r.notes, r.images, r.created_at as "createdAt", r.definition,
              (select count(*)::int from tenants where release_id = r.id) as stacks,
              (select count(*)::int from upgrade_failures where to_release = r.id) as failed
         from releases r where $1::text is null or r.id = $1 order by r.created_at desc, r.id`,
      [id ?? null],
    );
    return rows.map(({ definition, createdAt, ...row }) => ({
      ...row,
      createdAt: createdAt.toISOString(),
      databaseMajor: databaseMajorOf(definition),
      requires: [...requiredBy(definition)],
    }));
  }
}

/** An image that does not say what it has is taken at the operator's word. */
function requireDatabaseMajor(
  template: Template,
  images: Readonly<Record<string, string>>,
  majors: ImagesAnswer['databaseMajors'],
): void {
  const databases = template.aviary.backup.postgres.map((service) => {
    const image = template.services[service]?.image ?? '';
    return { service, image, has: majors[images[service] ?? image] ?? null };
  });
  const foreign = foreignImage(template, databases);
  if (foreign !== null) {
    throw new DomainError('WRONG_STATE', {
      message: `${foreign} Say which it is with --database-major, or name another image; nothing was made.`,
      details: { why: 'image_major', says: databaseMajorOf(template) },
    });
  }
}

type ReleaseRow = Omit<ReleaseView, 'createdAt' | 'databaseMajor' | 'requires'> & {
  createdAt: Date;
  definition: Template;
};

export function noSuchRelease(id: string): DomainError {
  return new DomainError('NOT_FOUND', { message: `There is no release ${id}.`, details: { release: id } });
}

function requireOperator(actor: Actor): void {
  if (requireActor(actor).kind !== 'operator') {
    throw new DomainError('FORBIDDEN');
  }
}
