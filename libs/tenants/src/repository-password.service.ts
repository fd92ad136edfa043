import { text } from 'node:stream/consumers';
import { appendAudit } from '#libs/audit';
import { DomainError, PASSWORD_READ, repositoryPasswordSchema, type Actor } from '#libs/contracts';
import { RepositoryEntity, tx, type Database } from '#libs/db';
import { requireActor } from './authorise.js';
import type { AgentPort } from './logs/agent-port.js';
import { findStack } from './stack.change.js';

/** It opens one sealed value. */
const ANSWER_MS = 15_000;

export interface RepositoryAccess {
  /** Its name below the place where the platform's repositories lie. */
  repository: string;
  password: string;
}

interface PasswordDeps {
  database: Database;
  agent: Pick<AgentPort, 'post'>;
}

/**
 * The password of a stack's repository, so that plain restic opens it. It is sealed under keys that only the agent has,
 * which gives it out for an audit entry alone.
 */
export class RepositoryPasswordService {
  constructor(private readonly deps: PasswordDeps) {}

  /**
   * Throws FORBIDDEN but for an operator at the command line of the host, where everything can be read anyway,
   * NOT_FOUND, REPOSITORY_MISSING for a stack that was never backed up, UNAVAILABLE while the agent is away, and
   * KEY_LOST where the stack's key is.
   */
  async read(actor: Actor, slug: string, signal: AbortSignal): Promise<RepositoryAccess> {
    const { kind, via } = requireActor(actor);
    if (kind !== 'operator' || via !== 'cli') {
      throw new DomainError('FORBIDDEN');
    }
    const { repository, audit } = await tx(this.deps.database, async (db) => {
      const { id } = await findStack(db, actor, slug);
      if (!(await db.existsBy(RepositoryEntity, { tenantId: id }))) {
        throw new DomainError('REPOSITORY_MISSING', {
          message: `${slug} was never backed up, so it has no repository. Take a backup first: aviary backup take ${slug}.`,
        });
      }
      const target = { kind: 'stack', id };
      return {
        repository: id,
        audit: await appendAudit(db, { actor, action: PASSWORD_READ, target, after: { slug } }),
      };
    });
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]);
    const answer = await this.deps.agent.post('/repository-password', { audit }, bounded);
    const { password } = repositoryPasswordSchema.parse(JSON.parse(await text(answer)));
    return { repository, password };
  }
}
