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

/** That of the server in an image, as official images and ours tell it in their environment; null where one does not. */
export function majorOfImage(environment: Readonly<Record<string, string>>): number | null {
  const said = environment['PG_MAJOR'] ?? '';
  return /^\d{1,3}$/.test(said) ? Number(said) : null;
}

/** A database's service, its image as people know it, and the major version that says it has; null where it says none. */
export interface DatabaseImage {
  service: string;
  image: string;
  has: number | null;
}

/**
 * What is wrong with a template whose databases' images have another major version than it says, in a sentence; null
 * where none has. By what it says stacks are brought to other volumes, or started on their own: on files that their
 * server cannot open.
 */
export function foreignImage(template: Pick<Template, 'aviary'>, images: readonly DatabaseImage[]): string | null {
  const says = databaseMajorOf(template);
  const foreign = images.find(({ has }) => has !== null && has !== says);
  return foreign === undefined
    ? null
    : `The image ${foreign.image} for ${foreign.service} has PostgreSQL ${foreign.has}, and the release is for PostgreSQL ${says}.`;
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
