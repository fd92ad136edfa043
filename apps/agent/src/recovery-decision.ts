import type { Repositories } from '#libs/backup';
import { DomainError } from '#libs/contracts';
import { BackupEntity, ReleaseEntity, type Database, type TenantEntity } from '#libs/db';
import type { Engine } from '#libs/engine';
import { databaseMajorOf, stackNames, type Template } from '#libs/tenants';

export const CALL_MS = 60_000;

export interface DecisionDeps {
  dataSource: Database;
  repositories: Pick<Repositories, 'snapshots'>;
  engine: Pick<Engine, 'observe' | 'imageId'>;
  platformId: string;
  /** Fires when the agent stops. */
  stopping: AbortSignal;
}

export type Decision =
  | { kind: 'restore'; backup: string; release: string | null }
  | { kind: 'destroy' }
  /** By an operation that is over. */
  | { kind: 'done'; operation: string }
  | { kind: 'nothing'; why: string; lost: boolean };

const nothing = (why: string, lost = false): Decision => ({ kind: 'nothing', why, lost });

/** What becomes of a stack after a recovery, whose engine has these volumes. Throws why it cannot be told now. */
export async function decisionFor(
  deps: DecisionDeps,
  tenant: TenantEntity,
  volumes: ReadonlySet<string>,
): Promise<Decision> {
  // Of one that was to be destroyed, the end of that.
  if (tenant.desired === 'deleted') {
    return { kind: 'destroy' };
  }
  const release = await deps.dataSource.manager.findOneByOrFail(ReleaseEntity, { id: tenant.releaseId });
  const here = { template: release.definition as Template, volumes };
  requireKnownEpoch(deps, tenant, here);
  if (hasData(deps, tenant, here)) {
    return nothing('Its data is on this host.');
  }
  const backup = await newestThere(deps, tenant);
  if (backup === null) {
    return nothing(
      tenant.provisioningGeneration > 0
        ? 'It was being made, and is made anew.'
        : 'The portal knew of no verified backup of it.',
    );
  }
  if (backup === 'gone') {
    return nothing('Its repository has none of its verified backups whole.', true);
  }
  const made = await releaseHere(deps, release);
  if (made === null) {
    throw new DomainError('IMAGE_MISSING', {
      message: `No release of ${release.template} has its images on this host: run scripts/up.`,
    });
  }
  return { kind: 'restore', backup: backup.id, release: made === release.id ? null : made };
}

/**
 * A restore since the portal's backup made volumes that its row knows nothing of, and they may be what the stack lives
 * in: going on with those of its row, or filling new ones by the same names, would take its newer data away.
 */
function requireKnownEpoch(
  { platformId }: DecisionDeps,
  { slug, epoch }: TenantEntity,
  { template, volumes }: { template: Template; volumes: ReadonlySet<string> },
): void {
  const names = stackNames(platformId, slug);
  const newer = Object.keys(template.volumes).flatMap((volume) => {
    const before = names.volume(volume, 0).slice(0, -1);
    return [...volumes].filter((name) => name.startsWith(before) && Number(name.slice(before.length)) > epoch);
  });
  if (newer.length > 0) {
    throw new DomainError('WRONG_STATE', {
      message: `It was restored since the portal's backup: the portal knows its volumes up to ${epoch}, and there are ${newer.toSorted().join(', ')}. Nothing of it is started, changed or put back while they are there. Do not restore it by hand: that would fill these anew.`,
      details: { epoch, newer },
    });
  }
}

/** Every volume that a restore would fill. */
function hasData(
  { platformId }: DecisionDeps,
  { slug, epoch }: TenantEntity,
  { template, volumes }: { template: Template; volumes: ReadonlySet<string> },
): boolean {
  const names = stackNames(platformId, slug);
  const databases = template.aviary.backup.postgres.flatMap((service) => {
    const [data] = template.services[service]?.volumes ?? [];
    return data === undefined ? [] : [data.volume];
  });
  const filled = [...databases, ...template.aviary.backup.volumes];
  return filled.length > 0 && filled.every((volume) => volumes.has(names.volume(volume, epoch)));
}

/**
 * The newest verified one whose parts its repository has; null where there is none, `gone` where the repository has
 * others, but none of them whole. One that is empty or not there is being copied, or is looked for in the wrong place.
 */
async function newestThere(
  { dataSource, repositories, stopping }: DecisionDeps,
  { id: tenantId, slug }: TenantEntity,
): Promise<BackupEntity | 'gone' | null> {
  const verified = await dataSource.manager.find(BackupEntity, {
    where: { tenantId, state: 'verified' },
    order: { takenAt: 'DESC' },
  });
  if (verified.length === 0) {
    return null;
  }
  const signal = AbortSignal.any([stopping, AbortSignal.timeout(CALL_MS)]);
  const there = new Set((await repositories.snapshots(tenantId, signal)).map(({ id }) => id));
  if (there.size === 0) {
    throw new DomainError('REPOSITORY_MISSING', {
      message: `Its repository ${tenantId} is not there or is empty, and it had ${verified.length} verified backups: bring it back below AVIARY_BACKUP_URL. Where it is lost for good, so is the stack's data: aviary tenant destroy ${slug}`,
    });
  }
  return (
    verified.find(({ parts }) => parts.length > 0 && parts.every(({ snapshotId }) => there.has(snapshotId))) ?? 'gone'
  );
}

const majorOf = ({ definition }: ReleaseEntity): number => databaseMajorOf(definition as Template);

/**
 * Images that were built on the lost host have other ids here. Of the releases whose images are here: the stack's own,
 * else the newest that is the same version, else the newest stable one, since programs go forward.
 */
async function releaseHere({ dataSource, engine }: DecisionDeps, release: ReleaseEntity): Promise<string | null> {
  const others = await dataSource.manager.find(ReleaseEntity, {
    where: { template: release.template, state: 'stable' },
    order: { createdAt: 'DESC' },
  });
  const candidates = [
    release,
    ...others.filter(({ version }) => version === release.version),
    ...others.filter(({ version }) => version !== release.version),
    // A later server reads what an earlier one dumped, and not the other way round.
  ].filter((one) => majorOf(one) >= majorOf(release));
  for (const { id, images } of candidates) {
    const ids = await Promise.all(Object.values(images).map((image) => engine.imageId(image, { deadlineMs: CALL_MS })));
    if (ids.every((image) => image !== null)) {
      return id;
    }
  }
  return null;
}
