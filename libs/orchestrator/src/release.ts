import { z } from 'zod';
import { DomainError } from '#libs/contracts';
import { ReleaseEntity, tx } from '#libs/db';
import { UNTOUCHED } from '#libs/tenants';
import { lead, serving } from './converge.js';
import type { PhaseContext } from './phase-context.js';

const inputSchema = z.object({ from: z.string(), to: z.string() });
const ASK_MS = 20_000;

/** Whether the release that is asked for is still offered, and the engine has all its images. */
export async function readyToUpgrade({ deps, engine, operation, signal }: PhaseContext): Promise<string> {
  const { to } = inputSchema.parse(operation.input);
  const release = await deps.dataSource.manager.findOneBy(ReleaseEntity, { id: to });
  if (!release || release.state === 'withdrawn') {
    throw withdrawn(to);
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

/** Why an upgrade ended before it changed anything of its stack. */
function withdrawn(to: string): DomainError {
  return new DomainError('WRONG_STATE', {
    message: `${to} was withdrawn. The stack stays as it is.`,
    details: { why: 'withdrawn', to, ...UNTOUCHED },
  });
}

/** Asked for while the backup was taken, at an end of it that no turn of the lease saw any more. */
function calledOff(): DomainError {
  return new DomainError('OPERATION_CANCELLED', { details: { why: 'request', ...UNTOUCHED } });
}

/**
 * From here on the stack is wanted as the new release has it. One that was withdrawn since the look before is not gone
 * to any more, nor any once the upgrade was called off: the backup may have taken hours. Only the address was led away
 * by then, which leads back.
 */
export async function adoptRelease(context: PhaseContext): Promise<string> {
  const { deps, facts, operation, prove } = context;
  const { to } = inputSchema.parse(operation.input);
  const instead = await tx(deps.dataSource, async (db) => {
    // Whoever takes our place does it behind this lock, and then we are fenced off. Whoever calls us off does so too.
    await db.query('select from tenants where id = $1 for update', [facts.tenantId]);
    await prove();
    // None once it was adopted, by an agent that died behind it.
    const [before] = await db.query<{ cancelled: boolean; withdrawn: boolean }[]>(
      `select o.cancel_requested_at is not null as cancelled, r.state = 'withdrawn' as withdrawn
         from tenants t, releases r, operations o
        where t.id = $1 and r.id = $2 and o.id = $3 and t.release_id <> r.id`,
      [facts.tenantId, to, operation.id],
    );
    if (before?.cancelled === true) {
      return calledOff();
    }
    if (before?.withdrawn === true) {
      return withdrawn(to);
    }
    await db.query(`update tenants set release_id = $2 where id = $1 and desired <> 'deleted'`, [facts.tenantId, to]);
    return null;
  });
  if (instead !== null) {
    await lead(context, deps.routes.render(facts, serving(facts)));
    throw instead;
  }
  return `${facts.release} before`;
}
