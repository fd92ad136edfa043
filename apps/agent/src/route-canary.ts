import { request } from 'node:https';
import { waitFor } from '#libs/async';
import { canaryHost, GENERATION_HEADER, renderCanary, type EdgeSettings, type RouteFolder } from '#libs/edge';

const LIVE_MS = 10_000;
const TRY_MS = 2_000;

interface CanaryDeps {
  folder: RouteFolder;
  edge: EdgeSettings;
  proxy: { host: string; port: number };
}

/**
 * Proves that the proxy follows its folder: writes a route with a new number and waits until the proxy answers with
 * it. A proxy that is up and serves an old configuration looks healthy in every other way.
 */
export class RouteCanary {
  constructor(private readonly deps: CanaryDeps) {}

  /** Resolves with the milliseconds until the new route was live; throws DeadlineError when it never was. */
  async sing(generation: number): Promise<number> {
    const { folder, edge } = this.deps;
    const began = performance.now();
    await folder.publish(renderCanary(edge, generation));
    await waitFor(async () => ((await this.served()) === String(generation) ? true : undefined), {
      what: 'The proxy taking over a new route (is a foreign file in its folder?)',
      deadlineMs: LIVE_MS,
    });
    return Math.round(performance.now() - began);
  }

  private async served(): Promise<string | undefined> {
    const host = canaryHost(this.deps.edge.tenantDomain);
    return new Promise((resolve, reject) => {
      const probe = request(
        {
          ...this.deps.proxy,
          servername: host,
          headers: { host },
          path: '/',
          signal: AbortSignal.timeout(TRY_MS),
          // This proves that the proxy follows its folder. Whether its certificate is one to trust is asked elsewhere,
          // and an ACME authority issues one only once routes are live.
          rejectUnauthorized: false,
        },
        (response) => {
          response.resume();
          const header = response.headers[GENERATION_HEADER];
          resolve(Array.isArray(header) ? header[0] : header);
        },
      );
      probe.on('error', reject);
      probe.end();
    });
  }
}
