import type { EntityManager } from 'typeorm';
import { STORE_CODES, STORE_TEXT, type ErrorDetails, type StackReasonCode, type StoreCode } from '#libs/contracts';
import type { TenantEntity } from '#libs/db';

/** Why a stack is not as wanted: in English, and by a code with what its text speaks of. */
export interface Reason {
  code: StackReasonCode;
  message: string;
  params: Record<string, string | number>;
}

/** The store that the runtime said it waits for, by the code it gave the probe. */
const storeOf = ({ code, details }: { code: StackReasonCode; details: ErrorDetails }): StoreCode | undefined =>
  code === 'HEALTH_GATE_FAILED' ? STORE_CODES.find((store) => store === details['ready']) : undefined;

/** The reason an error gives. Of its details, what a sentence can hold: log lines and lists stay with the operation. */
export function reasonOf(error: { code: StackReasonCode; message: string; details: ErrorDetails }): Reason {
  const params = Object.entries(error.details).filter(
    (entry): entry is [string, string | number] => typeof entry[1] === 'string' || typeof entry[1] === 'number',
  );
  const store = storeOf(error);
  return {
    code: store ?? error.code,
    message: store === undefined ? error.message : STORE_TEXT[store],
    params: Object.fromEntries(params),
  };
}

export interface Observation {
  tenantId: string;
  observed: TenantEntity['observed'];
  reason: Reason | null;
  now: Date;
}

/** Writes what was seen, on the row that pages read. The caller holds that row's lock and knows that nothing is newer. */
export async function recordObserved(db: Pick<EntityManager, 'query'>, seen: Observation): Promise<void> {
  await db.query(
    `update tenants set observed_since = case when observed = $2 then observed_since else $4 end, observed = $2,
            reason = $3, reason_code = $5, reason_params = $6, checked_at = $4
      where id = $1`,
    [
      seen.tenantId,
      seen.observed,
      seen.reason?.message ?? null,
      seen.now,
      seen.reason?.code ?? null,
      seen.reason === null ? null : JSON.stringify(seen.reason.params),
    ],
  );
}
