import { DomainError } from '#libs/contracts';
import type { Template } from './template.js';

/** Of every stack that was made before templates and volumes named theirs. */
const BEFORE_NAMED = 17;

/** PostgreSQL's major version that a template's databases are of. */
export function databaseMajorOf({ aviary }: Pick<Template, 'aviary'>): number {
  return aviary.databaseMajor ?? BEFORE_NAMED;
}

/** That of the files in a volume, by the label it was made with. */
export function majorOfLabel(label: string | undefined): number {
  return label === undefined ? BEFORE_NAMED : Number(label);
}

/** Whether a stack's data has to be carried to go from one template to the other: no server opens another major's files. */
export function changesMajor(from: Template, to: Template): boolean {
  return from.aviary.backup.postgres.length > 0 && databaseMajorOf(from) !== databaseMajorOf(to);
}

/** Of a server's own words: `17.6 (Debian …)`. */
const majorOfServer = (server: string): number => Number.parseInt(server, 10);

/**
 * A dump is read by the tools of its own major and of later ones. Throws WRONG_STATE (details.why `newer_database`)
 * where a backup of these servers cannot be loaded into databases of that major.
 */
export function requireLoadable(servers: readonly string[], major: number): void {
  const newest = Math.max(0, ...servers.map(majorOfServer));
  if (newest > major) {
    throw new DomainError('WRONG_STATE', {
      message: `This backup was taken with PostgreSQL ${newest}, and the stack is on PostgreSQL ${major}, whose tools cannot read it. Upgrade the stack to a release with PostgreSQL ${newest} first, or choose an older backup.`,
      details: { why: 'newer_database', backup: newest, stack: major },
    });
  }
}
