import { parseArgs } from 'node:util';
import { DomainError } from '#libs/contracts';

export interface Wish {
  json: boolean;
  /** The platform's id, where nobody can be asked. */
  confirm: string | null;
  /** Another backup than the newest verified one. */
  backup: string | null;
  /** By name, what the lost host had and is not to be asked for. */
  without: readonly string[];
  /** Only says what would be brought back. */
  dryRun: boolean;
  /** Only says which backups there are. */
  list: boolean;
  /** The repository may look as if it were in use. */
  oldHostIsOff: boolean;
}

export const USAGE =
  'usage: aviary recover [--list | --dry-run] [--backup ID] [--confirm PLATFORM] [--without NAME]… [--old-host-is-off] [--json]';

const OPTIONS = {
  json: { type: 'boolean', default: false },
  confirm: { type: 'string' },
  backup: { type: 'string' },
  without: { type: 'string', multiple: true, default: [] as string[] },
  'dry-run': { type: 'boolean', default: false },
  list: { type: 'boolean', default: false },
  'old-host-is-off': { type: 'boolean', default: false },
} as const;

/** Throws VALIDATION_FAILED for anything it does not know: what was meant to only look must never recover. */
export function wishOf(args: readonly string[]): Wish {
  try {
    const { values } = parseArgs({ args: [...args], options: OPTIONS, strict: true, allowPositionals: false });
    const { json, confirm, backup, without, list, 'dry-run': dryRun, 'old-host-is-off': oldHostIsOff } = values;
    return { json, confirm: confirm ?? null, backup: backup ?? null, without, dryRun, list, oldHostIsOff };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.split('. ')[0] : String(cause);
    throw new DomainError('VALIDATION_FAILED', { message: `${why}. Nothing was done; ${USAGE}`, cause });
  }
}

/** Also of arguments that are not understood, so that a script gets its document. */
export const wantsJson = (args: readonly string[]): boolean => args.includes('--json');
