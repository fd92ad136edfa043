import { readFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { join } from 'node:path';
import { waitFor } from '#libs/async';
import { ownObjects } from './engine-facts.js';
import { run } from './run-command.js';
import type { Platform } from './settings.js';
import { Refusal, say } from './talk.js';

const PROBE_MS = 2_000;

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

/** Waits until the whole answers. On failure the last lines of whatever is not well go with the refusal. */
export async function waitUntilHealthy(platform: Platform, deadlineMs: number): Promise<void> {
  let last = '';
  try {
    await waitFor(
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
        return status === 200 ? true : undefined;
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
}
