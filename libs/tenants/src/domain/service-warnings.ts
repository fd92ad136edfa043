import type { MemoryGrowth } from '#libs/contracts';
import type { Warning } from './stack-disk.js';

const MIB = 1024 ** 2;
/** What of a log fits a page; the end of it tells the most. */
const LONGEST_LOG = 500;

export interface ServiceEnd {
  service: string;
  /** Null where a part of it was ended and the service itself went on. */
  exitCode: number | null;
  outOfMemory: boolean;
  /** How often since the warning began, this one included. */
  times: number;
  /** The last lines before it. */
  log: readonly string[];
}

/** A service that ended although nobody asked for it, of a stack that went on. */
export function endWarning({ service, exitCode, outOfMemory, times, log }: ServiceEnd): Warning {
  const tail = log.join('\n').slice(-LONGEST_LOG);
  const often = times === 1 ? 'once' : `${times} times`;
  const said = tail === '' ? '' : ` Its last words: ${tail}`;
  return outOfMemory
    ? {
        code: 'SERVICE_OUT_OF_MEMORY',
        level: 'warn',
        message: `${service} ran out of memory ${often} and was started again. Run fewer bots or take a larger plan.${said}`,
        params: { service, times, log: tail },
      }
    : {
        code: 'SERVICE_ENDED',
        level: 'warn',
        message: `${service} ended ${often}, last with exit code ${exitCode ?? '?'}, and was started again. Nothing is to be done unless it goes on.${said}`,
        params: { service, exitCode: exitCode ?? '?', times, log: tail },
      };
}

/** Memory that only grows, before it meets its limit. */
export function growthWarning({ service, bytesPerHour, hoursLeft }: MemoryGrowth): Warning {
  const megabytes = Math.max(1, Math.round(bytesPerHour / MIB));
  const hours = Math.max(1, Math.round(hoursLeft));
  return {
    code: 'MEMORY_GROWS',
    level: 'warn',
    message: `Memory of ${service} only grows, by ${megabytes} MiB an hour, and reaches its limit in about ${hours} h; then it is ended and started again. Restart the stack at a time that suits you, run fewer bots, or take a larger plan.`,
    params: { service, megabytes, hours },
  };
}
