import { z } from 'zod';
import { DomainError, LOST_THINGS, type PresentCounts } from '#libs/contracts';
import { ReleaseEntity, TenantEntity, type Database } from '#libs/db';
import type { EngineStreams } from '#libs/engine';
import type { Template } from '#libs/tenants';
import { PsqlSession } from './psql.js';
import { databaseOf } from './scratch.js';

/** Somebody waits for it: a large table on a slow disk is not counted rather than read for long beside what trades. */
const STATEMENT_MS = 2_000;

const countedSchema = z.object({ at: z.number(), counts: z.partialRecord(z.enum(LOST_THINGS), z.int()) });

interface CountDeps {
  dataSource: Database;
  streams: EngineStreams;
  platformId: string;
  engineId: string;
}

/** Rows of stacks' own databases as they are now, of what a person counts a loss in. */
export class StackCounts {
  constructor(private readonly deps: CountDeps) {}

  /**
   * Of a stack of this engine, in one view of the data that its server works on: the container has its name whatever
   * epoch the data is of, and those beside it have others. A table that is not there is left out. Throws NOT_FOUND
   * where there is no such stack or container here, ENGINE_CONFLICT where the container does not run, BACKUP_FAILED
   * where the server gave up or ended, and as the signal has it (DEADLINE_EXCEEDED, OPERATION_CANCELLED).
   */
  async read(tenantId: string, signal: AbortSignal): Promise<PresentCounts> {
    const { dataSource, streams, platformId, engineId } = this.deps;
    const tenant = await dataSource.manager.findOneBy(TenantEntity, { id: tenantId, engineId });
    if (!tenant) {
      throw new DomainError('NOT_FOUND', { message: 'There is no such stack on this host.' });
    }
    const release = await dataSource.manager.findOneByOrFail(ReleaseEntity, { id: tenant.releaseId });
    const template = release.definition as Template;
    const counts: PresentCounts['counts'] = {};
    let at = new Date();
    for (const service of template.aviary.backup.postgres) {
      const place = databaseOf({ platformId, tenantId, slug: tenant.slug, template }, service);
      const session = await PsqlSession.open(streams, place, signal);
      try {
        const counted = await countLost(session);
        Object.assign(counts, counted.counts);
        at = new Date(counted.at);
      } finally {
        await session.close().catch(() => undefined); // What broke it is told by what it broke.
      }
    }
    return { at: at.toISOString(), counts };
  }
}

async function countLost(session: PsqlSession): Promise<z.infer<typeof countedSchema>> {
  await session.query('begin isolation level repeatable read, read only');
  // Waiting for a lock is part of it: who migrates a table has it for as long as that takes.
  await session.query(`set local statement_timeout = ${STATEMENT_MS}`);
  const known = await session.query(
    `select relname from pg_class
      where relnamespace = to_regnamespace('public') and relkind = 'r' and relname in (${LOST_THINGS.map((name) => `'${name}'`).join(', ')})`,
  );
  const counts = LOST_THINGS.filter((name) => known.includes(name)).map(
    (name) => `'${name}', (select count(*) from only public.${name})`,
  );
  const counted = await session.one(
    `select json_build_object('at', extract(epoch from now()) * 1000, 'counts', json_build_object(${counts.join(', ')}))`,
  );
  return countedSchema.parse(JSON.parse(counted));
}
