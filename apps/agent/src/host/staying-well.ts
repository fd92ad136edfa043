import { DeadlineError, waitFor } from '#libs/async';
import { proxyComplaint, tellStates, wrongNow } from './portal-health.js';
import { run } from './run-command.js';
import type { Platform } from './settings.js';
import { Refusal, say } from './talk.js';

/** One alone may be a moment's weakness of a host that has just started nine processes. */
const LOOKS = 2;
/** Beyond the time itself, for the looks. */
const ROOM_MS = 60_000;
/** The agent looks at the proxy once a minute, and at its start. */
const PROXY_MS = 120_000;

export interface Staying {
  forMs: number;
  /** False where the proxy was complained of before, which is then no fault of the version that came. */
  proxyCounts: boolean;
}

/**
 * Throws Refusal unless the whole stays well for so long: each service in the container it was in, not started again, and
 * nothing said against it; and unless the proxy serves by then what the agent wrote for it.
 */
export async function staysWell(
  platform: Platform,
  services: readonly string[],
  { forMs, proxyCounts }: Staying,
): Promise<void> {
  say(`watching for ${forMs / 1_000} s whether it stays well`);
  const first = await runsOf(platform, services);
  const until = performance.now() + forMs;
  let misses = 0;
  const wrong = await waitFor(
    async () => {
      const now = await runsOf(platform, services);
      const again = services.filter((name) => now.get(name) !== first.get(name));
      if (again.length > 0) {
        return `${again.join(', ')} ended and was started again`;
      }
      const says = await wrongNow(platform, services);
      misses = says === '' ? 0 : misses + 1;
      return misses >= LOOKS || (misses === 0 && performance.now() >= until) ? says : undefined;
    },
    { what: 'a whole look', deadlineMs: forMs + ROOM_MS, intervalMs: 500, maxIntervalMs: 2_000 },
  );
  if (wrong !== '') {
    await tellStates(platform, services);
    throw new Refusal([
      `The portal was well and did not stay so for ${forMs / 1_000} s: ${wrong}. See docker logs aviary-${platform.prefix}-<name>.`,
    ]);
  }
  if (proxyCounts) {
    await proxyServes(platform);
  }
}

async function proxyServes(platform: Platform): Promise<void> {
  let says = '';
  try {
    await waitFor(
      async () => {
        says = await proxyComplaint(platform);
        return says === '' ? true : undefined;
      },
      { what: 'a proxy that serves what it is to', deadlineMs: PROXY_MS, intervalMs: 500, maxIntervalMs: 3_000 },
    );
  } catch (error) {
    if (!(error instanceof DeadlineError)) {
      throw error;
    }
    throw new Refusal([`The portal runs, but customers are not served: ${says}`]);
  }
}

/** Of each service a word that changes when it is started again, or in another container. */
async function runsOf({ prefix }: Platform, services: readonly string[]): Promise<Map<string, string>> {
  const format = '{{.Id}} {{.State.StartedAt}} {{.RestartCount}}';
  const names = services.map((name) => `aviary-${prefix}-${name}`);
  const lines = (await run('docker', ['inspect', '-f', format, ...names], { deadlineMs: 30_000 })).split('\n');
  return new Map(services.map((name, at) => [name, lines[at] ?? '']));
}
