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

/**
 * Beyond what must stay free, before a host's stacks are let go: what they write at once then must not have them held
 * again a minute later.
 */
const HOST_MARGIN_MB = 512;

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

/** The file system on which all stacks of a host lie, and what of it must stay free; in MiB. */
export interface HostDisk {
  totalMb: number;
  freeMb: number;
  floorMb: number;
}

/** Whether a host itself has too little left, however little each of its stacks takes; `before` as it was found last. */
export function isHostFull({ freeMb, floorMb }: HostDisk, before: boolean): boolean {
  return freeMb < (before ? floorMb + HOST_MARGIN_MB : floorMb);
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

/** Of MiB, downwards: what is not there is not said. */
const gib = (megabytes: number): string => (Math.floor((megabytes / 1_024) * 100) / 100).toFixed(2);

function hostParams({ totalMb, freeMb, floorMb }: HostDisk) {
  return {
    percent: Math.floor(((totalMb - freeMb) / totalMb) * 100),
    free: gib(freeMb),
    floor: gib(floorMb),
  };
}

/** What the owner of a stack reads that is held for its host's disk. */
export function hostDiskWarning(host: HostDisk): Warning {
  const params = hostParams(host);
  return {
    code: 'HOST_DISK_FULL',
    level: 'bad',
    message: `The host this stack runs on has little disk left: ${params.free} GiB are free, ${params.floor} GiB must stay so. It is the host, not the plan of the stack: a larger one changes nothing. Its bots are held: open orders are taken back and nothing new is begun, so that its database does not meet a full disk. Stop-loss and take-profit go on. Operators know of it, and it goes on by itself when there is room.`,
    params,
  };
}

/** What operators read of it: `held` of the stacks that `run` there said that they hold their bots. */
export function hostDiskAlarm(
  engineId: string,
  host: HostDisk,
  stacks: { held: number; run: number },
): Pick<Warning, 'message' | 'params'> {
  const { free, floor } = hostParams(host);
  const enough = gib(host.floorMb + HOST_MARGIN_MB);
  return {
    message: `The host ${engineId} has ${free} GiB of disk left and ${floor} GiB must stay free, so the bots of all its stacks are held before their databases, and the portal’s, meet a full disk: ${stacks.held} of ${stacks.run} that run hold theirs. Free space or enlarge the disk of the engine; they go on by themselves from ${enough} GiB on. AVIARY_DISK_FLOOR_MB is what must stay free.`,
    params: { engine: engineId, free, floor, ...stacks },
  };
}
