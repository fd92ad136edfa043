/** Who asks. Services authorise by it and audit rows name it; `via` tells page, API or CLI apart in the audit. */
export type Actor =
  | {
      kind: 'subscriber' | 'operator';
      accountId: string;
      username: string;
      via: 'portal' | 'cli';
      ip: string | null;
      sessionId: string | null;
    }
  | { kind: 'system'; name: string };

/** How an actor is written in rows and logs. */
export function actorName(actor: Actor): string {
  return actor.kind === 'system' ? `system:${actor.name}` : actor.username;
}
