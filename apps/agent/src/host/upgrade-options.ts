import { parseArgs } from 'node:util';
import { DomainError } from '#libs/contracts';

export interface UpgradeWish {
  json: boolean;
  /** Only says what would be replaced. */
  dryRun: boolean;
  /** Puts back what was well: before an upgrade that was cut off, or the version before the one that runs. */
  back: boolean;
  /** How long the new version has to become well before the one before is put back. */
  withinMs: number;
  /** For how long it then has to stay well. */
  stayMs: number;
}

export const USAGE = 'usage: upgrade [--dry-run | --back] [--within SECONDS] [--stay SECONDS] [--json]';
const WITHIN_SECONDS = 180;
/** Longer than the first turn of anything that recurs takes to end a process that does not bear it. */
const STAY_SECONDS = 30;
const LONGEST_SECONDS = 3_600;

const OPTIONS = {
  json: { type: 'boolean', default: false },
  'dry-run': { type: 'boolean', default: false },
  back: { type: 'boolean', default: false },
  within: { type: 'string', default: String(WITHIN_SECONDS) },
  stay: { type: 'string', default: String(STAY_SECONDS) },
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
  const { json, 'dry-run': dryRun, back, within, stay } = parsed;
  if (dryRun && back) {
    throw refuse('--dry-run and --back are two different wishes');
  }
  for (const [name, value] of Object.entries({ within, stay })) {
    if (!/^\d{1,4}$/.test(value) || Number(value) < 1 || Number(value) > LONGEST_SECONDS) {
      throw refuse(`--${name} takes 1 to ${LONGEST_SECONDS} seconds`);
    }
  }
  return { json, dryRun, back, withinMs: Number(within) * 1_000, stayMs: Number(stay) * 1_000 };
}

function parsedOf(args: readonly string[]) {
  return parseArgs({ args: [...args], options: OPTIONS, strict: true, allowPositionals: false }).values;
}
