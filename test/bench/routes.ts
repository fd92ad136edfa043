import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from '#libs/async';
import {
  ensureCertificates,
  renderShared,
  renderTenantRoutes,
  RouteFolder,
  type EdgeSettings,
  type RouteFile,
} from '#libs/edge';
import { Backend } from '../support/echo-backend.js';
import { TraefikProcess, traefikBinary } from '../support/traefik.js';
import { atMost, median, quantile, round, type BenchResult } from './report.js';

const SINGLE = 40;
const AT_ONCE = 20;

interface Options {
  n: number;
  say: (text: string) => void;
}

const quiet = { warn: () => undefined, info: () => undefined };
const letters = 'abcdefghijklmnopqrstuvwxyz234567';

/** Number as a stack's slug. */
function slugOf(number: number): string {
  let rest = number;
  let text = '';
  for (let at = 0; at < 6; at += 1) {
    text = `${letters[rest % 32] ?? 'a'}${text}`;
    rest = Math.floor(rest / 32);
  }
  return `u${text}`;
}

interface Side {
  traefik: TraefikProcess;
  publish: (file: RouteFile) => Promise<void>;
}

/**
 * From the writing of a stack's route until its first answer through the proxy over TLS, with `n` stacks already there:
 * by the route folder, and beside it by a plain write of the same file into a folder that a second proxy reads, as
 * anybody would do it by hand. Turn by turn, in one run.
 */
export async function routes({ n, say }: Options): Promise<BenchResult> {
  const base = await mkdtemp(join(tmpdir(), 'aviary-bench-routes-'));
  const backend = new Backend('stack');
  const address = await backend.start();
  const settings: EdgeSettings = {
    portalDomain: 'portal.test',
    tenantDomain: 'stacks.test',
    gateUrls: ['http://127.0.0.1:9'],
    apiUrls: [`http://127.0.0.1:${address.port}`],
    certificateDir: join(base, 'certs'),
  };
  const fileOf = (number: number): RouteFile =>
    renderTenantRoutes(
      {
        tenantId: randomUUID(),
        slug: slugOf(number),
        serving: 'tenant',
        routes: [
          { host: 'dashboard', auth: 'portal', address },
          { host: 'api', auth: 'token', address },
        ],
      },
      settings,
    );
  const proxies: TraefikProcess[] = [];
  try {
    await ensureCertificates({
      mode: 'local',
      dataDir: base,
      portalDomain: 'portal.test',
      tenantDomain: 'stacks.test',
      now: new Date(),
    });
    const ca = await readFile(join(base, 'ca/ca.crt'), 'utf8');
    const present = Array.from({ length: n }, (_, number) => fileOf(number));
    const start = async (
      name: string,
      change: (text: string) => string = (text) => text,
    ): Promise<{ traefik: TraefikProcess; directory: string }> => {
      const directory = join(base, name, 'routes');
      await mkdir(directory, { recursive: true });
      const traefik = new TraefikProcess({
        binary: traefikBinary(),
        directory: join(base, name),
        routes: directory,
        change,
      });
      await traefik.choosePorts();
      return { traefik, directory };
    };
    const ours = await start('aviary');
    const folder = new RouteFolder({
      directory: ours.directory,
      quarantineDirectory: join(base, 'quarantine'),
      logger: quiet,
    });
    await folder.adopt([renderShared(settings), ...present]);
    const plain = await start('hand', (text) => text.replace(/filename: (.*)\/[^/]*\.yml/, 'directory: $1'));
    for (const { name, content } of [renderShared(settings), ...present]) {
      await writeFile(join(plain.directory, name), content);
    }
    const sides: Record<'aviary' | 'hand', Side> = {
      aviary: { traefik: ours.traefik, publish: (file) => folder.publish(file) },
      hand: { traefik: plain.traefik, publish: ({ name, content }) => writeFile(join(plain.directory, name), content) },
    };
    for (const { traefik } of Object.values(sides)) {
      proxies.push(traefik);
      await traefik.start();
      await live(traefik, n - 1, ca);
    }
    say(`${n} stacks are served by each of two proxies`);
    let next = n;
    const one = async ({ traefik, publish }: Side): Promise<number> => {
      const number = next;
      next += 1;
      const file = fileOf(number);
      const began = performance.now();
      await publish(file);
      await live(traefik, number, ca);
      return performance.now() - began;
    };
    const single: Record<'aviary' | 'hand', number[]> = { aviary: [], hand: [] };
    for (let turn = 0; turn < SINGLE; turn += 1) {
      for (const side of ['aviary', 'hand'] as const) {
        single[side].push(await one(sides[side]));
      }
    }
    const crowd: Record<'aviary' | 'hand', number[]> = { aviary: [], hand: [] };
    for (const side of ['aviary', 'hand'] as const) {
      crowd[side] = await Promise.all(Array.from({ length: AT_ONCE }, () => one(sides[side])));
    }
    const figures = (times: readonly number[]): { p50: number; p95: number } => ({
      p50: round(median(times)),
      p95: round(quantile(times, 0.95)),
    });
    const [a, h, ac, hc] = [single.aviary, single.hand, crowd.aviary, crowd.hand].map(figures) as [
      { p50: number; p95: number },
      { p50: number; p95: number },
      { p50: number; p95: number },
      { p50: number; p95: number },
    ];
    const line = (name: string, { p50, p95 }: { p50: number; p95: number }): string =>
      `${name.padEnd(44)} p50 ${p50} ms   p95 ${p95} ms`;
    return {
      metrics: {
        aviary_p50_ms: a.p50,
        aviary_p95_ms: a.p95,
        hand_p50_ms: h.p50,
        hand_p95_ms: h.p95,
        aviary_crowd_p50_ms: ac.p50,
        aviary_crowd_p95_ms: ac.p95,
        hand_crowd_p50_ms: hc.p50,
        hand_crowd_p95_ms: hc.p95,
      },
      goals: [
        atMost('a new route live, median', 'ms', 400, a.p50),
        atMost('a new route live, 95th percentile', 'ms', 800, a.p95),
      ],
      lines: [
        line(`one route, ${n} stacks there, by Aviary`, a),
        line('the same written by hand', h),
        line(`${AT_ONCE} at once, by Aviary`, ac),
        line('the same written by hand', hc),
      ],
    };
  } finally {
    await Promise.all(proxies.map((traefik) => traefik.stop()));
    backend.stop();
    await rm(base, { recursive: true, force: true });
  }
}

/** Until the stack's API host is answered by the stack. */
function live(traefik: TraefikProcess, number: number, ca: string): Promise<true> {
  const host = `api-${slugOf(number)}.stacks.test`;
  return waitFor(async () => ((await traefik.get(host, '/', { ca })).status === 200 ? true : undefined), {
    what: `the route of ${host}`,
    deadlineMs: 60_000,
    intervalMs: 10,
    maxIntervalMs: 10,
  });
}
