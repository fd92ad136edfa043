import { diskWarning, type Broken, type Death, type DiskUse } from '#libs/tenants';

/** What of a log fits a sentence on a page. */
const LONGEST_LOG = 500;

/** Why a stack was stopped whose container dies again and again, in words of what happened and what to do. */
export function brokenByDeaths(loop: Death & { times: number }, log: readonly string[]): Broken {
  const { service, times, outOfMemory } = loop;
  const exitCode = loop.exitCode ?? -1;
  const tail = log.join('\n').slice(-LONGEST_LOG);
  const said = tail === '' ? '' : ` Its last words: ${tail}`;
  return {
    code: outOfMemory ? 'OUT_OF_MEMORY' : 'CRASH_LOOP',
    message: outOfMemory
      ? `${service} ran out of memory ${times} times in ten minutes, so the stack was stopped. Run fewer bots or take a larger plan, then start it.${said}`
      : `${service} ended ${times} times in ten minutes, last with exit code ${exitCode}, so the stack was stopped. Start it once the cause is gone.${said}`,
    params: { service, times, exitCode, log: tail },
  };
}

/** Why a stack was stopped whose repairs do not succeed. */
export function brokenByFailures(failures: number, error: { code: string; message: string } | null): Broken {
  const last = error?.message ?? '';
  return {
    code: 'REPAIRS_FAILED',
    message: `${failures} attempts to repair the stack failed, so it was stopped. Start it once the cause is gone. The last one: ${last}`,
    params: { failures, last },
  };
}

/** Why a stack was stopped that fills the disk of all others. */
export function brokenByDisk(use: DiskUse): Broken {
  const { params } = diskWarning('full', use);
  return {
    code: 'DISK_OVERRUN',
    message: `The stack uses ${params['percent']} % of the disk of its plan (${params['used']} of ${params['limit']} GiB) and went on writing after it was asked to hold, so it was stopped; its data is kept. Change to a larger plan, then start it.`,
    params,
  };
}
