import type { StackWarningCode } from '#libs/contracts';

const GIB = 1024 ** 3;

/**
 * Shares of a stack's own disk: told to its owner, and writes ended kindly before its database meets a full disk. What
 * began at one share ends below another, or a stack at the edge would be held and let go all day.
 */
const WARN = { from: 0.9, below: 0.85 };
const FULL = { from: 0.95, below: 0.9 };
/** From here on the disk is measured more often: the next look must come before it is full. */
const NEAR = 0.8;

/** A stack that was asked to hold long before, and goes on filling a disk that others live on too. */
const OVERRUN = 1.1;

export type DiskLevel = 'ok' | 'warn' | 'full';

export interface DiskUse {
  usedBytes: number;
  limitGb: number;
}

const shareOf = ({ usedBytes, limitGb }: DiskUse): number => usedBytes / (limitGb * GIB);

/** A stack's use of its own disk: fine, to be told to its owner, or so full that writes must end kindly. */
export function stackDiskLevel(use: DiskUse, before: DiskLevel): DiskLevel {
  const share = shareOf(use);
  if (share >= (before === 'full' ? FULL.below : FULL.from)) {
    return 'full';
  }
  return share >= (before === 'ok' ? WARN.from : WARN.below) ? 'warn' : 'ok';
}

/** Far beyond what its plan gives it, though it was asked to hold: only stopping it keeps the disk of all others. */
export function isDiskOverrun(use: DiskUse): boolean {
  return shareOf(use) >= OVERRUN;
}

export function isDiskNear(use: DiskUse): boolean {
  return shareOf(use) >= NEAR;
}

export interface Warning {
  code: StackWarningCode;
  level: 'warn' | 'bad';
  message: string;
  params: Record<string, string | number>;
}

/** What the owner and operators read. `ok` is said only while a stack that was held has not heard of it yet. */
export function diskWarning(level: DiskLevel, use: DiskUse): Warning {
  // Downwards: 94.9 % is not yet 95 %.
  const percent = Math.floor(shareOf(use) * 100);
  const used = (use.usedBytes / GIB).toFixed(2);
  const limit = String(use.limitGb);
  const params = { percent, used, limit };
  const of = `${percent} % of the disk of its plan (${used} of ${limit} GiB)`;
  switch (level) {
    case 'full':
      return {
        code: 'DISK_FULL',
        level: 'bad',
        message: `The stack uses ${of}. Its bots are held: open orders are taken back and nothing new is begun, so that its database does not meet a full disk. Stop-loss and take-profit go on. Change to a larger plan; it goes on by itself below 90 %.`,
        params,
      };
    case 'warn':
      return {
        code: 'DISK_NEARLY_FULL',
        level: 'warn',
        message: `The stack uses ${of}. From 95 % on its bots are held. Change to a larger plan before that.`,
        params,
      };
    case 'ok':
      return {
        code: 'DISK_FREED',
        level: 'warn',
        message: `There is room again: the stack uses ${of}. Its bots go on once it runs.`,
        params,
      };
  }
}
