import { MoreThan } from 'typeorm';
import { DomainError, PASSWORD_READ } from '#libs/contracts';
import { AuditEntryEntity, type Database } from '#libs/db';
import type { Repositories } from './repositories.js';

/** From the entry to the question that follows it by itself. */
const ENTRY_MS = 60_000;

interface PasswordDeps {
  dataSource: Database;
  repositories: Pick<Repositories, 'password'>;
  now: () => Date;
}

/** Passwords of stacks' repositories, for operators who are to open one with restic itself. */
export class RepositoryPasswords {
  constructor(private readonly deps: PasswordDeps) {}

  /**
   * That of the stack which a fresh audit entry names: nothing leaves without one that says to whom. Throws FORBIDDEN
   * where there is no such entry, REPOSITORY_MISSING for a stack that has no repository, and as the keys do.
   */
  async read(auditId: string): Promise<string> {
    const entry = await this.deps.dataSource.manager.findOneBy(AuditEntryEntity, {
      id: auditId,
      action: PASSWORD_READ,
      actorKind: 'operator',
      via: 'cli',
      targetKind: 'stack',
      at: MoreThan(new Date(this.deps.now().getTime() - ENTRY_MS)),
    });
    if (!entry) {
      throw new DomainError('FORBIDDEN', { message: 'No fresh entry of the audit says who is given this password.' });
    }
    const password = await this.deps.repositories.password(entry.targetId);
    if (password === null) {
      throw new DomainError('REPOSITORY_MISSING');
    }
    return password;
  }
}
