import { readFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { waitFor } from '#libs/async';
import { GATE_BALANCER, PORTAL_BALANCER } from '#libs/edge';
import { ownObjects } from './engine-facts.js';
import { UNWELL } from './health-answer.js';
import type { PairKind } from './roll.js';
import { CommandError, run } from './run-command.js';
import type { Platform } from './settings.js';
import { Refusal, say } from './talk.js';

const PROBE_MS = 2_000;
/** Of each of a pair, as the proxy reaches it: where it says that it can do its work, and what chooses between the two. */
const PAIRED = {
  api: { port: 8080, path: '/readyz', balancer: PORTAL_BALANCER },
  gate: { port: 8082, path: '/healthz', balancer: GATE_BALANCER },
} as const satisfies Record<PairKind, unknown>;
/** A process on two busy cores needs a second to start. */
const EXEC_MS = 10_000;

async function answerOf(options: RequestOptions, secure: boolean): Promise<{ status: number; body: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: string }>();
  const request = (secure ? httpsRequest : httpRequest)({ ...options, agent: false, timeout: PROBE_MS }, (response) => {
    text(response).then((body) => resolve({ status: response.statusCode ?? 0, body }), reject);
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
  const { status } = await answerOf(
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
  return status;
}

/** Whether the api or gate at this address says by itself that it can do its work. */
export async function isReady(kind: PairKind, host: string): Promise<boolean> {
  const { port, path } = PAIRED[kind];
  const { status } = await answerOf({ host, port, path }, false);
  return status === 200;
}

/**
 * Whether the proxy sends requests to the api or gate at this address; null where it does not say, since it is away or the
 * agent that runs has it balance nothing.
 */
export async function isBalancedTo(
  { config }: Pick<Platform, 'config'>,
  kind: PairKind,
  host: string,
): Promise<boolean | null> {
  const { port, balancer } = PAIRED[kind];
  const path = `/api/http/services/${balancer}`;
  try {
    const { status, body } = await answerOf({ host: '127.0.0.1', port: config.PROXY_PORT, path }, false);
    const { serverStatus } = JSON.parse(status === 200 ? body : '{}') as { serverStatus?: Record<string, string> };
    const says = serverStatus?.[`http://${host}:${port}`];
    return says === undefined ? null : says === 'UP';
  } catch {
    // Silent, or it said something else: what it does is not known.
    return null;
  }
}

const PORTAL_PROCESSES = ['api', 'api2', 'gate', 'gate2', 'worker', 'agent', 'postgres', 'redis', 'traefik'] as const;

/** Names of the portal's containers that do not run. */
export async function missingProcesses(
  platform: Platform,
  wanted: readonly string[] = PORTAL_PROCESSES,
): Promise<string[]> {
  const running = await ownObjects('container', platform.id, ['label=aviary.role=portal', 'status=running']);
  return wanted.filter((name) => !running.includes(`aviary-${platform.prefix}-${name}`));
}

/** Processes that say by themselves how they are, and where they listen for that question inside their containers. */
const SELF_REPORTS = {
  agent: '/run/aviary-agent/agent.sock',
  worker: '8083',
  api: '8080',
  api2: '8080',
  gate: '8082',
  gate2: '8082',
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
/** Of these, what nobody reaches anything by. */
const PROXY = /^proxy: /;

/** The agent reads the templates once, at its start: waiting changes nothing. */
const FOR_GOOD = /^agent: releases: /;

/** Empty when all of them are well enough for stacks to be made and reached; else what is wrong. */
async function unwell(platform: Platform, wanted: readonly string[]): Promise<string> {
  for (const name of SELF_REPORTING.filter((one) => wanted.includes(one))) {
    const problems = await processHealth(platform, name);
    const against = problems?.filter((problem) => !LATER.test(problem)) ?? ['does not answer'];
    if (against.length > 0) {
      return `${name}: ${against.join('; ')}`;
    }
  }
  return '';
}

/** What the agent has to say against the proxy as it last saw it; empty where nothing. */
export async function proxyComplaint(platform: Pick<Platform, 'prefix'>): Promise<string> {
  return (await processHealth(platform, 'agent'))?.find((problem) => PROXY.test(problem)) ?? '';
}

/** What is wrong with the whole at this moment; empty where all of these services run, and answer, and are well. */
export async function wrongNow(platform: Platform, wanted: readonly string[] = PORTAL_PROCESSES): Promise<string> {
  const missing = await missingProcesses(platform, wanted);
  if (missing.length > 0) {
    return `${missing.join(', ')} not running`;
  }
  const address = `https://${platform.config.PORTAL_DOMAIN}/readyz`;
  try {
    const status = await portalStatus(platform, '/readyz');
    if (status !== 200) {
      return `${address} answered ${status}`;
    }
  } catch (error) {
    return `${address}: ${error instanceof Error ? error.message : String(error)}`;
  }
  return unwell(platform, wanted);
}

/** Says of each container what it is, and of those that ended or are not there their last lines. */
export async function tellStates(platform: Pick<Platform, 'prefix'>, wanted: readonly string[]): Promise<void> {
  for (const name of wanted) {
    const container = `aviary-${platform.prefix}-${name}`;
    const format = '{{.State.Status}} restarts={{.RestartCount}}';
    const state = await run('docker', ['inspect', '-f', format, container]).catch(() => 'missing');
    say(`${name}: ${state.trim()}`);
    if (!state.startsWith('running restarts=0')) {
      const lines = await run('docker', ['logs', '--tail', '12', container]).catch(() => '');
      lines
        .split('\n')
        .filter(Boolean)
        .forEach((line) => say(`  ${line.slice(0, 300)}`));
    }
  }
}

/**
 * Waits until the whole answers, or those services of it that this version is not the one of. On failure the last lines of
 * whatever is not well go with the refusal.
 */
export async function waitUntilHealthy(
  platform: Platform,
  deadlineMs: number,
  wanted: readonly string[] = PORTAL_PROCESSES,
): Promise<void> {
  let last = '';
  let complaint = '';
  try {
    complaint = await waitFor(
      async () => {
        last = await wrongNow(platform, wanted);
        return last === '' || FOR_GOOD.test(last) ? last : undefined;
      },
      { what: 'a healthy portal', deadlineMs, intervalMs: 100, maxIntervalMs: 1_000 },
    );
  } catch (cause) {
    await tellStates(platform, wanted);
    throw new Refusal([
      `The portal did not become healthy within ${deadlineMs / 1000} s: ${last || String(cause)}. See docker logs aviary-${platform.prefix}-<name>.`,
    ]);
  }
  if (complaint !== '') {
    throw new Refusal([`The portal runs, but no stack can be made. ${complaint}`]);
  }
}
