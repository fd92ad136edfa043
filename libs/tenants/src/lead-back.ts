import type { EntityManager } from 'typeorm';
import type { OperationEntity } from '#libs/db';

/**
 * Whether that operation has brought its stack to other volumes and may still lead it back to those it had: what it notes
 * in its input is how it was (`back`), and that it stays (`settled`).
 */
export function isUnsettled({ kind, input }: Pick<OperationEntity, 'kind' | 'input'>): boolean {
  return kind === 'upgrade' && input?.['back'] !== undefined && input['settled'] === undefined;
}

/** Whether the stack of that upgrade stays where it was brought, though the operation is not over. */
export async function isSettled(db: Pick<EntityManager, 'query'>, upgrade: string): Promise<boolean> {
  const [row] = await db.query<{ settled: boolean }[]>(
    `select input -> 'settled' is not null as settled from operations where id = $1`,
    [upgrade],
  );
  return row?.settled === true;
}

/**
 * Leads a stack back to the release it had before an upgrade, and where that had put other volumes in the place of its
 * own, to those as they were left; one that is settled stays. What the upgrade filled counts as half-filled: it goes with
 * the next good backup. `upgrade` is the operation's id.
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
      where o.id = $1 and t.id = o.tenant_id and o.input -> 'settled' is null`,
    [upgrade],
  );
}

const epochs = (which: 'kept' | 'carried'): string =>
  `case when o.input -> 'back' is null then t.${which}_epochs
        else array(select one::integer from jsonb_array_elements_text(o.input #> '{back,${which}}') one) end`;
