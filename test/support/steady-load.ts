import { Agent, request } from 'node:https';
import { setTimeout as pause } from 'node:timers/promises';
import { waitFor } from '#libs/async';
import type { PortalPlace } from './portal-client.js';

export interface FailedRequest {
  path: string;
  why: string;
  /** When it was seen to fail. */
  at: string;
}

const ANSWER_MS = 30_000;
/** Between two requests of a line: what is replaced meanwhile needs the processors too. */
const PACE_MS = 50;

/**
 * Requests to the portal by its name through the proxy, one after the other in several lines, over connections that are
 * kept as browsers keep them. Nothing is tried twice.
 */
export class SteadyLoad {
  answered = 0;
  readonly failed: FailedRequest[] = [];
  private going = true;
  private readonly agent: Agent;
  private readonly lines: Promise<void>[];

  constructor(
    private readonly place: PortalPlace,
    { lines, paths }: { lines: number; paths: readonly string[] },
  ) {
    this.agent = new Agent({ keepAlive: true, ca: place.ca });
    this.lines = Array.from({ length: lines }, (_, line) => this.line(line, paths));
  }

  private async line(line: number, paths: readonly string[]): Promise<void> {
    for (let turn = line; this.going; turn += 1) {
      const path = paths[turn % paths.length] ?? '/';
      try {
        const status = await this.ask(path);
        if (status >= 200 && status < 400) {
          this.answered += 1;
        } else {
          this.fail(path, `answered ${status}`);
        }
      } catch (error) {
        this.fail(path, String(error));
      }
      await pause(PACE_MS);
    }
  }

  private fail(path: string, why: string): void {
    this.failed.push({ path, why, at: new Date().toISOString() });
  }

  private ask(path: string): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const { portalDomain: host, httpsPort: port, address } = this.place;
    const asked = request(
      { host: address, port, servername: host, path, headers: { host }, agent: this.agent },
      (response) => {
        response.resume();
        response.once('end', () => resolve(response.statusCode ?? 0));
        response.once('error', reject);
      },
    );
    asked.setTimeout(ANSWER_MS, () => asked.destroy(new Error('no answer')));
    asked.once('error', reject);
    asked.end();
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
