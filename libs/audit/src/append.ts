import { actorName, type Actor } from '#libs/contracts';
import { AuditEntryEntity, newId, type Tx } from '#libs/db';
import { withoutSecrets } from './domain/redact.js';

export interface AuditEvent {
  actor: Actor;
  /** Noun and verb, such as `account.verify` or `stack.destroy`. */
  action: string;
  target: { kind: string; id: string };
  /** What changed, as plain values. Values under names that sound secret are replaced before they are stored. */
  before?: object;
  after?: object;
  /** Only where the actor carries none, such as a sign-in that failed. */
  ip?: string | null;
}

/** Writes who did what; in the transaction that does it, so that neither exists without the other. The entry's id. */
export async function appendAudit(tx: Tx, event: AuditEvent): Promise<string> {
  const entry = auditEntry(event, new Date());
  await tx.insert(AuditEntryEntity, entry);
  return entry.id;
}

/** The row of it, for who writes into a database that no process is connected to yet; it is sealed like any other. */
export function auditEntry(event: AuditEvent, at: Date): AuditEntryEntity {
  const { actor } = event;
  const person = actor.kind === 'system' ? null : actor;
  return {
    id: newId(),
    at,
    actorKind: actor.kind,
    actorId: person?.accountId ?? null,
    actorName: actorName(actor),
    via: person?.via ?? null,
    ip: event.ip ?? person?.ip ?? null,
    sessionId: person?.sessionId ?? null,
    action: event.action,
    targetKind: event.target.kind,
    targetId: event.target.id,
    before: withoutSecrets(event.before) as object | null,
    after: withoutSecrets(event.after) as object | null,
  };
}
