import { createHash } from 'node:crypto';
import { ReleaseEntity, TenantEntity, TenantSecretEntity, type Database } from '#libs/db';

/** What the portal's rows say of the stack, secrets sealed as they are there. */
export async function knownStack({ manager: db }: Database, tenantId: string) {
  const tenant = await db.findOneByOrFail(TenantEntity, { id: tenantId });
  const release = await db.findOneByOrFail(ReleaseEntity, { id: tenant.releaseId });
  const secrets = await db.find(TenantSecretEntity, { where: { tenantId }, order: { name: 'ASC' } });
  return {
    tenant,
    release,
    secrets: secrets.map(({ name, sealed }) => ({ name, sealed: sealed.toString('base64') })),
  };
}

/** SHA-256 of what of it goes with the data: a backup with another is not of the same stack any more. */
export function figureOf({ tenant, release, secrets }: Awaited<ReturnType<typeof knownStack>>): string {
  const { name, template, limits } = tenant;
  return createHash('sha256')
    .update(JSON.stringify([release.id, template, name, limits, secrets]))
    .digest('hex');
}
