/** Who asks. Services authorise by it and audit rows name it; `via` tells the portal, the CLI and a program's token of a stack apart in the audit. */
export type Actor =
  | {
      kind: 'subscriber' | 'operator';
      accountId: string;
      username: string;
      via: 'portal' | 'cli' | 'token';
      ip: string | null;
      sessionId: string | null;
    }
  | { kind: 'system'; name: string };

/** How an actor is written in rows and logs. */
export function actorName(actor: Actor): string {
  return actor.kind === 'system' ? `system:${actor.name}` : actor.username;
}
