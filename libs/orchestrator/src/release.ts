import { z } from 'zod';
import { DomainError } from '#libs/contracts';
import { ReleaseEntity, tx } from '#libs/db';
import type { PhaseContext } from './phase-context.js';

const inputSchema = z.object({ from: z.string(), to: z.string() });
const ASK_MS = 20_000;

/** Whether the release that is asked for is still offered, and the engine has all its images. */
export async function readyToUpgrade({ deps, engine, operation, signal }: PhaseContext): Promise<string> {
  const { to } = inputSchema.parse(operation.input);
  const release = await deps.dataSource.manager.findOneBy(ReleaseEntity, { id: to });
  if (!release || release.state === 'withdrawn') {
    throw new DomainError('WRONG_STATE', {
      message: `${to} was withdrawn. The stack stays as it is.`,
      details: { why: 'withdrawn', to },
    });
  }
  for (const [service, image] of Object.entries(release.images)) {
    if ((await engine.imageId(image, { deadlineMs: ASK_MS, signal })) === null) {
      throw new DomainError('IMAGE_MISSING', {
        message: `The engine has no image ${image}, which ${to} needs for ${service}. The stack stays as it is.`,
        details: { image, service, release: to },
      });
    }
  }
  return `to ${release.version}`;
}

/** From here on the stack is wanted as the new release has it. */
export async function adoptRelease({ deps, facts, operation, prove }: PhaseContext): Promise<string> {
  const { to } = inputSchema.parse(operation.input);
  await tx(deps.dataSource, async (db) => {
    // Whoever takes our place does it behind this lock, and then we are fenced off.
    await db.query('select from tenants where id = $1 for update', [facts.tenantId]);
    await prove();
    await db.query(`update tenants set release_id = $2 where id = $1 and desired <> 'deleted'`, [facts.tenantId, to]);
  });
  return `${facts.release} before`;
}
