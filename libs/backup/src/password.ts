import { DeadlineError, waitFor } from '#libs/async';
import { DomainError } from '#libs/contracts';
import { scramVerifier } from '#libs/db';
import type { BackupWork } from '#libs/orchestrator';
import { PsqlSession } from './psql.js';
import { databaseOf } from './scratch.js';

/** Over the container's own socket, which asks for no password: nobody need know the one it has. */
export async function setPassword(
  { facts, streams, signal }: Pick<BackupWork, 'facts' | 'streams' | 'signal'>,
  password: string,
  deadlineMs: number,
): Promise<void> {
  // The verifier, not the password: the statement may stand in a log.
  const verifier = scramVerifier(password);
  for (const service of facts.template.aviary.backup.postgres) {
    const place = databaseOf(facts, service);
    const role = `"${place.user.replaceAll('"', '""')}"`;
    try {
      await waitFor(
        async () => {
          const session = await PsqlSession.open(streams, place, signal);
          await session.query(`alter role ${role} with password '${verifier}'`);
          await session.close();
          return true;
        },
        { what: 'the database taking its password', deadlineMs, signal },
      );
    } catch (error) {
      if (error instanceof DeadlineError) {
        throw new DomainError('HEALTH_GATE_FAILED', {
          message: 'The stack’s database, led back to its data of before, did not take its password in time.',
          details: { why: 'password' },
          cause: error,
        });
      }
      throw error;
    }
  }
}
