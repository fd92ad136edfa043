import type { EntityManager } from 'typeorm';

/**
 * Leads a stack back to the release it had before an upgrade, and where that had put other volumes in the place of its
 * own, to those as they were left. What the upgrade filled counts as half-filled: it goes with the next good backup.
 * `upgrade` is the operation's id.
 */
export async function leadBack(db: Pick<EntityManager, 'query'>, upgrade: string): Promise<void> {
  await db.query(
    `update tenants t
        set release_id = o.input ->> 'from',
            epoch = coalesce((o.input #>> '{back,epoch}')::integer, t.epoch),
            next_epoch = case when o.input -> 'back' is null then t.next_epoch else t.epoch end,
            kept_epochs = ${epochs('kept')},
            carried_epochs = ${epochs('carried')}
       from operations o
      where o.id = $1 and t.id = o.tenant_id`,
    [upgrade],
  );
}

const epochs = (which: 'kept' | 'carried'): string =>
  `case when o.input -> 'back' is null then t.${which}_epochs
        else array(select one::integer from jsonb_array_elements_text(o.input #> '{back,${which}}') one) end`;
