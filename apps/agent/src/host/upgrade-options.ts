import { parseArgs } from 'node:util';
import { DomainError } from '#libs/contracts';

export interface UpgradeWish {
  json: boolean;
  /** Only says what would be replaced. */
  dryRun: boolean;
  /** Puts the version back that was well last, and nothing else. */
  back: boolean;
  /** How long the new version has to become well before the one before is put back. */
  withinMs: number;
}

export const USAGE = 'usage: upgrade [--dry-run | --back] [--within SECONDS] [--json]';
const WITHIN_SECONDS = 180;
const LONGEST_SECONDS = 3_600;

const OPTIONS = {
  json: { type: 'boolean', default: false },
  'dry-run': { type: 'boolean', default: false },
  back: { type: 'boolean', default: false },
  within: { type: 'string', default: String(WITHIN_SECONDS) },
} as const;

/** Throws VALIDATION_FAILED for anything it does not know: what was meant to only look must never change anything. */
export function upgradeWishOf(args: readonly string[]): UpgradeWish {
  const refuse = (why: string, cause?: unknown): DomainError =>
    new DomainError('VALIDATION_FAILED', { message: `${why}. Nothing was done; ${USAGE}`, cause });
  const parsed = ((): ReturnType<typeof parsedOf> => {
    try {
      return parsedOf(args);
    } catch (cause) {
      throw refuse(cause instanceof Error ? (cause.message.split('. ')[0] ?? '') : String(cause), cause);
    }
  })();
  const { json, 'dry-run': dryRun, back, within } = parsed;
  if (dryRun && back) {
    throw refuse('--dry-run and --back are two different wishes');
  }
  if (!/^\d{1,4}$/.test(within) || Number(within) < 1 || Number(within) > LONGEST_SECONDS) {
    throw refuse(`--within takes 1 to ${LONGEST_SECONDS} seconds`);
  }
  return { json, dryRun, back, withinMs: Number(within) * 1_000 };
}

function parsedOf(args: readonly string[]) {
  return parseArgs({ args: [...args], options: OPTIONS, strict: true, allowPositionals: false }).values;
}
