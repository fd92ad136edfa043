import { readFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { join } from 'node:path';
import { waitFor } from '#libs/async';
import { ownObjects } from './engine-facts.js';
import { UNWELL } from './health-answer.js';
import { CommandError, run } from './run-command.js';
import type { Platform } from './settings.js';
import { Refusal, say } from './talk.js';

const PROBE_MS = 2_000;
/** A process on two busy cores needs a second to start. */
const EXEC_MS = 10_000;

async function statusOf(options: RequestOptions, secure: boolean): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const request = (secure ? httpsRequest : httpRequest)({ ...options, agent: false, timeout: PROBE_MS }, (response) => {
    response.resume();
    resolve(response.statusCode ?? 0);
  });
  request.once('timeout', () => request.destroy(new Error('no answer')));
  request.once('error', reject);
  request.end();
  return promise;
}

/**
 * Asks the way a visitor comes: by name, over TLS, through the proxy. Name and authority are checked, so an answer
 * proves certificate, route, api and (through its readiness) database at once.
 */
export async function portalStatus({ config }: Platform, path: string): Promise<number> {
  const ca = config.TLS_MODE === 'local' ? await readFile(join(config.DATA_DIR, 'ca/ca.crt')) : undefined;
  return statusOf(
    {
      host: '127.0.0.1',
      port: config.HTTPS_PORT,
      path,
      servername: config.PORTAL_DOMAIN,
      headers: { host: config.PORTAL_DOMAIN },
      // A public authority may still be asked for the certificate while the stand-in is served.
      ...(ca ? { ca } : { rejectUnauthorized: config.TLS_MODE === 'files' }),
    },
    true,
  );
}

const PORTAL_PROCESSES = ['api', 'gate', 'worker', 'agent', 'postgres', 'redis', 'traefik'] as const;

/** Names of the portal's containers that do not run. */
export async function missingProcesses(platform: Platform): Promise<string[]> {
  const running = await ownObjects('container', platform.id, ['label=aviary.role=portal', 'status=running']);
  return PORTAL_PROCESSES.filter((name) => !running.includes(`aviary-${platform.prefix}-${name}`));
}

/** Processes that say by themselves how they are, and where they listen for that question inside their containers. */
const SELF_REPORTS = {
  agent: '/run/aviary-agent/agent.sock',
  worker: '8083',
  api: '8080',
  gate: '8082',
} as const;
export const SELF_REPORTING = Object.keys(SELF_REPORTS) as readonly (keyof typeof SELF_REPORTS)[];

/** What a process has to complain about, a sentence each; null when it does not answer. */
export async function processHealth(
  { prefix }: Pick<Platform, 'prefix'>,
  name: keyof typeof SELF_REPORTS,
): Promise<string[] | null> {
  const ask = ['node', 'dist/apps/agent/src/host/ask-health.js', SELF_REPORTS[name]];
  try {
    await run('docker', ['exec', `aviary-${prefix}-${name}`, ...ask], { deadlineMs: EXEC_MS });
    return [];
  } catch (error) {
    if (!(error instanceof CommandError) || error.exitCode !== UNWELL) {
      return null;
    }
    return error.output.split('\n').filter(Boolean);
  }
}

/**
 * Of what the agent complains about, that which does not stand against a start: it looks again by itself, and `doctor`
 * tells until then.
 */
const LATER = /^(proxy|certificates|duties|portal backup): /;

/** The agent reads the templates once, at its start: waiting changes nothing. */
const FOR_GOOD = /^agent: releases: /;

/** Null when all of them are well enough for stacks to be made and reached; else what is wrong. */
async function unwell(platform: Platform): Promise<string | null> {
  for (const name of SELF_REPORTING) {
    const problems = await processHealth(platform, name);
    const against = problems?.filter((problem) => !LATER.test(problem)) ?? ['does not answer'];
    if (against.length > 0) {
      return `${name}: ${against.join('; ')}`;
    }
  }
  return null;
}

/** Waits until the whole answers. On failure the last lines of whatever is not well go with the refusal. */
export async function waitUntilHealthy(platform: Platform, deadlineMs: number): Promise<void> {
  let last = '';
  let complaint = '';
  try {
    complaint = await waitFor(
      async () => {
        const missing = await missingProcesses(platform);
        if (missing.length > 0) {
          last = `${missing.join(', ')} not running`;
          return undefined;
        }
        const status = await portalStatus(platform, '/readyz').catch((error: Error) => {
          last = `https://${platform.config.PORTAL_DOMAIN}/readyz: ${error.message}`;
          return 0;
        });
        if (status !== 0 && status !== 200) {
          last = `https://${platform.config.PORTAL_DOMAIN}/readyz answered ${status}`;
        }
        if (status !== 200) {
          return undefined;
        }
        last = (await unwell(platform)) ?? '';
        return last === '' || FOR_GOOD.test(last) ? last : undefined;
      },
      { what: 'a healthy portal', deadlineMs, intervalMs: 100, maxIntervalMs: 1_000 },
    );
  } catch (cause) {
    for (const name of PORTAL_PROCESSES) {
      const container = `aviary-${platform.prefix}-${name}`;
      const state = await run('docker', [
        'inspect',
        '-f',
        '{{.State.Status}} restarts={{.RestartCount}}',
        container,
      ]).catch(() => 'missing');
      say(`${name}: ${state.trim()}`);
      if (!state.startsWith('running restarts=0')) {
        const lines = await run('docker', ['logs', '--tail', '12', container]).catch(() => '');
        lines
          .split('\n')
          .filter(Boolean)
          .forEach((line) => say(`  ${line.slice(0, 300)}`));
      }
    }
    throw new Refusal([
      `The portal did not become healthy within ${deadlineMs / 1000} s: ${last || String(cause)}. See docker logs aviary-${platform.prefix}-<name>.`,
    ]);
  }
  if (complaint !== '') {
    throw new Refusal([`The portal runs, but no stack can be made. ${complaint}`]);
  }
}
