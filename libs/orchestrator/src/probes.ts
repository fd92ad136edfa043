import type { KeyObject } from 'node:crypto';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import { DeadlineError, waitFor, type Bounds } from '#libs/async';
import {
  ACTIVITY_AUDIENCE,
  activitySchema,
  HOLD_AUDIENCE,
  holdAnswerSchema,
  DomainError,
  GATE_PATH,
  notReadySchema,
  readySchema,
  RESUMPTION_AUDIENCE,
  resumptionSchema,
  type Activity,
  type Hold,
  type HoldAnswer,
  type Ready,
  type Resumption,
} from '#libs/contracts';
import { signToken } from '#libs/crypto';
import { edgeAddress, stackHost } from '#libs/tenants';
import type { StackFacts } from './planner/want.js';
import type { Probes } from './ports.js';

export interface ProbeSettings {
  tenantDomain: string;
  /** Where the proxy listens on this host. */
  proxy: { host: string; port: number };
  /** PEM of the authority behind the proxy's certificate; empty for the system's own list. */
  ca: () => Promise<string>;
}

interface Answer {
  status: number;
  headers: IncomingMessage['headers'];
  body: string;
}

/** One try; a container that is starting either refuses at once or does not answer ARP at all. */
const BY_ADDRESS_MS = 250;
const THROUGH_PROXY_MS = 2_000;
const LARGEST_ANSWER = 64 * 1024;

function read(response: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    response.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > LARGEST_ANSWER) {
        response.destroy(new Error('answer too large'));
      }
      chunks.push(chunk);
    });
    response.on('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
    response.on('error', reject);
  });
}

/** One request to the runtime itself, past proxy and gate. */
function byAddress(
  facts: StackFacts,
  options: { method?: string; path: string; headers?: Record<string, string>; signal: AbortSignal },
): Promise<Answer> {
  const { service, port } = facts.template.aviary.runtime;
  const slot = facts.edges[service];
  if (!slot) {
    throw new DomainError('TEMPLATE_INVALID', { message: `The runtime service ${service} has no edge address.` });
  }
  const host = edgeAddress(facts.pool, slot.edge, slot.slot);
  return new Promise<Answer>((resolve, reject) => {
    const request = httpRequest({ host, port, ...options }, (response) => {
      read(response).then(
        (body) => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
        reject,
      );
    });
    request.on('error', reject);
    request.end();
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // A page instead of JSON is an answer of somebody else; the schema refuses it with the status in the message.
    return undefined;
  }
}

/** What /ready of this stack says, or why it does not count. DATA_MISSING never mends itself, so it ends the wait. */
function judge(answer: Answer, facts: StackFacts): Ready {
  const document = parseJson(answer.body);
  const ready = readySchema.safeParse(document);
  if (
    answer.status === 200 &&
    ready.success &&
    ready.data.tenant === facts.tenantId &&
    ready.data.generation === facts.generation
  ) {
    requireItsHold(ready.data, facts);
    return ready.data;
  }
  const notReady = notReadySchema.safeParse(document);
  if (notReady.success && notReady.data.code === 'DATA_MISSING') {
    throw new FatalProbe(
      new DomainError('DATA_MISSING', { message: notReady.data.message, details: { why: 'database' } }),
    );
  }
  throw notReady.success ? new NotReadyProbe(notReady.data) : new Error(`status ${answer.status}`);
}

/**
 * One that waits for nothing any more has to trade, and whoever looks after it starts it anew; one that is to wait and
 * trades would lose what it trades.
 */
function requireItsHold({ tradesAfter }: Ready, facts: StackFacts): void {
  if (tradesAfter !== facts.tradesAfter) {
    throw new Error(
      facts.tradesAfter === null
        ? `its bots are held for the end of the upgrade ${tradesAfter}, which is over`
        : `its bots are not held for the end of the upgrade ${facts.tradesAfter}`,
    );
  }
}

/** The runtime itself said that it is not ready, and why. */
class NotReadyProbe extends Error {
  readonly code: string;

  constructor({ code, message }: { code: string; message: string }) {
    super(message);
    this.code = code;
  }
}

/** A store that hangs keeps the answer for longer than one try waits. */
const isTimeout = (error: unknown): boolean =>
  typeof error === 'object' &&
  error !== null &&
  'name' in error &&
  (error.name === 'AbortError' || error.name === 'TimeoutError');

/** As Node names what is wrong with a certificate, for a person and for `health-layers`. */
const CERTIFICATE_REFUSED = /^(CERT_|ERR_TLS_CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_(GET_ISSUER|VERIFY_LEAF))/;

/** Why the certificate of the proxy was not taken; undefined where it was, or where nobody got so far. */
const refusedCertificate = (error: unknown): string | undefined =>
  typeof error === 'object' && error !== null && 'code' in error && CERTIFICATE_REFUSED.test(String(error.code))
    ? String(error.code)
    : undefined;

class FatalProbe extends Error {
  constructor(readonly reason: DomainError) {
    super(reason.message);
  }
}

/** What did not come about: the code in an error's details, and its words. */
const AWAITED = {
  not_ready: { what: 'the runtime becoming ready', without: 'The runtime was not ready' },
  not_served: { what: 'the route being served', without: 'The route was not served' },
} as const;

async function until(
  check: keyof typeof AWAITED,
  bounds: { deadlineMs: number; signal: AbortSignal },
  probe: () => Promise<void>,
): Promise<void> {
  const { what, without } = AWAITED[check];
  let fatal: DomainError | undefined;
  let told: NotReadyProbe | undefined;
  try {
    await waitFor(
      async () => {
        try {
          await probe();
        } catch (error) {
          if (error instanceof FatalProbe) {
            fatal = error.reason;
            return true;
          }
          if (error instanceof NotReadyProbe) {
            told = error;
          } else if (!isTimeout(error)) {
            // Whoever answers something else, or not even takes a connection, is no longer as it said.
            told = undefined;
          }
          throw told ?? error;
        }
        return true;
      },
      { what, deadlineMs: bounds.deadlineMs, signal: bounds.signal, intervalMs: 15, maxIntervalMs: 150 },
    );
  } catch (error) {
    if (error instanceof DeadlineError) {
      const why = (error.cause instanceof Error ? error.cause.message : 'no answer').replace(/\.$/, '');
      const tls = refusedCertificate(error.cause);
      throw new DomainError('HEALTH_GATE_FAILED', {
        message: `${without} after ${Math.round(bounds.deadlineMs / 1_000)} s: ${why}.`,
        details: {
          why: check,
          last: why,
          seconds: Math.round(bounds.deadlineMs / 1_000),
          ...(error.cause instanceof NotReadyProbe ? { ready: error.cause.code } : {}),
          ...(tls === undefined ? {} : { tls }),
        },
        cause: error,
      });
    }
    throw error;
  }
  if (fatal) {
    throw fatal;
  }
}

interface Question {
  method: 'GET' | 'POST';
  path: string;
  /** The stack's own. */
  key: KeyObject;
  claims: Record<string, unknown>;
  audience: string;
}

/** What the runtime answers to the platform alone; null when no usable answer came. */
async function privately(facts: StackFacts, question: Question, { deadlineMs, signal }: Bounds): Promise<unknown> {
  const { method, path, key, claims, audience } = question;
  const token = await signToken(key, claims, { issuer: facts.tenantId, audience, ttlSeconds: 30 });
  try {
    const answer = await byAddress(facts, {
      method,
      path,
      headers: { authorization: `Stack ${token}` },
      signal: AbortSignal.any([...(signal ? [signal] : []), AbortSignal.timeout(deadlineMs)]),
    });
    return answer.status === 200 ? parseJson(answer.body) : null;
  } catch (error) {
    // Whatever the reason: the caller must not act on what it does not know.
    signal?.throwIfAborted();
    if (error instanceof DomainError) {
      throw error;
    }
    return null;
  }
}

export class HttpProbes implements Probes {
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 32 });

  constructor(private readonly settings: ProbeSettings) {}

  async ready(facts: StackFacts, bounds: { deadlineMs: number; signal: AbortSignal }): Promise<void> {
    const { ready } = facts.template.aviary.runtime;
    await until('not_ready', bounds, async () => {
      judge(await byAddress(facts, { path: ready, signal: AbortSignal.timeout(BY_ADDRESS_MS) }), facts);
    });
  }

  activity(facts: StackFacts, key: KeyObject, bounds: Bounds): Promise<Activity | null> {
    return privately(
      facts,
      { method: 'GET', path: '/activity', key, claims: {}, audience: ACTIVITY_AUDIENCE },
      bounds,
    ).then((body) => activitySchema.safeParse(body).data ?? null);
  }

  resumption(facts: StackFacts, key: KeyObject, bounds: Bounds): Promise<Resumption | null> {
    return privately(
      facts,
      { method: 'GET', path: '/resumption', key, claims: {}, audience: RESUMPTION_AUDIENCE },
      bounds,
    ).then((body) => resumptionSchema.safeParse(body).data ?? null);
  }

  hold(facts: StackFacts, key: KeyObject, hold: Hold, bounds: Bounds): Promise<HoldAnswer | null> {
    return privately(
      facts,
      { method: 'POST', path: '/hold', key, claims: { hold }, audience: HOLD_AUDIENCE },
      bounds,
    ).then((body) => holdAnswerSchema.safeParse(body).data ?? null);
  }

  async served(facts: StackFacts, bounds: { deadlineMs: number; signal: AbortSignal }): Promise<void> {
    const { ready } = facts.template.aviary.runtime;
    const { tenantDomain } = this.settings;
    await until('not_served', bounds, async () => {
      judge(await this.throughProxy(stackHost('api', facts.slug, tenantDomain), ready), facts);
      const front = await this.throughProxy(stackHost('dashboard', facts.slug, tenantDomain), '/');
      if (front.status !== 302 || !front.headers.location?.includes(`${GATE_PATH}/start`)) {
        throw new Error(`the dashboard's address answers ${front.status} instead of asking to sign in`);
      }
    });
  }

  private async throughProxy(host: string, path: string): Promise<Answer> {
    const ca = await this.settings.ca();
    return new Promise<Answer>((resolve, reject) => {
      const request = httpsRequest(
        {
          host: this.settings.proxy.host,
          port: this.settings.proxy.port,
          servername: host,
          path,
          agent: this.agent,
          headers: { host, accept: 'text/html' },
          signal: AbortSignal.timeout(THROUGH_PROXY_MS),
          ...(ca === '' ? {} : { ca }),
        },
        (response) => {
          read(response).then(
            (body) => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
            reject,
          );
        },
      );
      request.on('error', reject);
      request.end();
    });
  }
}
