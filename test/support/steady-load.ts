import { Agent, request } from 'node:https';
import { setTimeout as pause } from 'node:timers/promises';
import { waitFor } from '#libs/async';
import type { PortalPlace } from './portal-client.js';

export interface LoadRequest {
  path: string;
  /** The portal's where left out. */
  host?: string;
  headers?: Readonly<Record<string, string>>;
  /** Sent as JSON by POST, which nobody on the way may try again by himself; without one it is a GET. */
  body?: unknown;
  /** Over a connection of its own, as of somebody who comes for the first time. */
  anew?: boolean;
}

/** Requests one after the other, again and again. */
export interface LoadLine {
  requests: readonly LoadRequest[];
  /** From an answer to the next request: what is replaced meanwhile needs the processors too. */
  paceMs?: number;
}

export interface FailedRequest {
  host: string;
  path: string;
  why: string;
  /** When it was asked, and when it was seen to fail. */
  askedAt: string;
  at: string;
}

const ANSWER_MS = 30_000;
const PACE_MS = 50;

/** So many lines that ask for these paths of the portal in turn, no two for the same at first. */
export const linesOf = (count: number, paths: readonly string[]): LoadLine[] =>
  Array.from({ length: count }, (_, line) => ({
    requests: paths.map((_path, at) => ({ path: paths[(line + at) % paths.length] ?? '/' })),
  }));

/**
 * Requests by name through the proxy in several lines at once, over connections that are kept as browsers keep them unless
 * told. Nothing is tried twice.
 */
export class SteadyLoad {
  answered = 0;
  readonly failed: FailedRequest[] = [];
  private going = true;
  private readonly agent: Agent;
  private readonly lines: Promise<void>[];

  constructor(
    private readonly place: PortalPlace,
    lines: readonly LoadLine[],
  ) {
    this.agent = new Agent({ keepAlive: true, ca: place.ca });
    this.lines = lines.map((line) => this.line(line));
  }

  private async line({ requests, paceMs = PACE_MS }: LoadLine): Promise<void> {
    for (let turn = 0; this.going; turn += 1) {
      const wanted = requests[turn % requests.length] ?? { path: '/' };
      const askedAt = new Date();
      try {
        const status = await this.ask(wanted);
        if (status >= 200 && status < 300) {
          this.answered += 1;
        } else {
          this.fail(wanted, askedAt, `answered ${status}`);
        }
      } catch (error) {
        this.fail(wanted, askedAt, String(error));
      }
      await pause(paceMs);
    }
  }

  private fail({ host = this.place.portalDomain, path }: LoadRequest, askedAt: Date, why: string): void {
    this.failed.push({ host, path, why, askedAt: askedAt.toISOString(), at: new Date().toISOString() });
  }

  private ask({ path, host: to, headers, body, anew = false }: LoadRequest): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const { portalDomain, httpsPort: port, address, ca } = this.place;
    const host = to ?? portalDomain;
    const payload = body === undefined ? undefined : JSON.stringify(body);
    const asked = request(
      {
        host: address,
        port,
        servername: host,
        path,
        method: payload === undefined ? 'GET' : 'POST',
        headers: {
          host,
          ...(payload === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(payload)) }),
          ...headers,
        },
        ...(anew ? { agent: false, ca } : { agent: this.agent }),
      },
      (response) => {
        response.resume();
        response.once('end', () => resolve(response.statusCode ?? 0));
        response.once('error', reject);
      },
    );
    asked.setTimeout(ANSWER_MS, () => asked.destroy(new Error('no answer')));
    asked.once('error', reject);
    asked.end(payload);
    return promise;
  }

  /** Until so many more were answered. */
  async more(count: number): Promise<void> {
    const from = this.answered;
    await waitFor(() => (this.answered >= from + count ? true : undefined), {
      what: `${count} more answers`,
      deadlineMs: 60_000,
    });
  }

  async end(): Promise<void> {
    this.going = false;
    await Promise.all(this.lines);
    this.agent.destroy();
  }
}
