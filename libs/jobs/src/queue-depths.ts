import type { Database } from '#libs/db';
import { QUEUE_SCHEMA } from './queue.js';

export interface QueueDepth {
  queue: string;
  /** Not due yet: a retry that waits, or a job asked for later. */
  later: number;
  due: number;
  active: number;
  /** Of the job that has been due longest; 0 when none is due. */
  oldestSeconds: number;
}

/** Every queue there is, those of engines too, by name; read as the app role. */
export async function queueDepths(database: Database): Promise<QueueDepth[]> {
  return database.query(
    `select q.name as queue,
            (count(j.id) filter (where j.state in ('created', 'retry') and j.start_after > now()))::int as later,
            (count(j.id) filter (where j.state in ('created', 'retry') and j.start_after <= now()))::int as due,
            (count(j.id) filter (where j.state = 'active'))::int as active,
            coalesce(extract(epoch from now() - min(j.start_after)
              filter (where j.state in ('created', 'retry') and j.start_after <= now())), 0)::float8 as "oldestSeconds"
       from ${QUEUE_SCHEMA}.queue q
       left join ${QUEUE_SCHEMA}.job j on j.name = q.name and j.state in ('created', 'retry', 'active')
      group by q.name order by q.name`,
  );
}
