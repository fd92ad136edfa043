// `npm run bench -- <name> [flags]`: prints figures for people, or with --json one object
// { bench, commit, machine, metrics, goals: [{ metric, unit, goal, value, met }] }. Exit 0 when it ran, met or not;
// 1 where `chaos` or `faults` found a promise broken. Some bring up a platform in an engine of their own.
import { parseArgs } from 'node:util';
import { backup } from './backup.js';
import { chaosBench } from './chaos.js';
import { dataPlane } from './data-plane.js';
import { density } from './density.js';
import { inOwnEngine } from './own-engine.js';
import { provision } from './provision.js';
import { proxy } from './proxy.js';
import { reconcileReal } from './reconcile-real.js';
import { reconcile } from './reconcile.js';
import { routes } from './routes.js';
import { upgrade } from './upgrade.js';
import { commitOf, machineOf, type BenchResult } from './report.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    /**
     * Stacks: 10 for provision, 500 for reconcile, 1000 for routes and 30 for upgrade unless told. Points of each operation
     * for faults, all unless told; with `engine`, of each operation and fault, one unless told.
     */
    n: { type: 'string' },
    /** 8 for provision and 2 for faults unless told. */
    parallel: { type: 'string' },
    stacks: { type: 'string', default: '20' },
    /** `reconcile`: so many real stacks instead of many in memory. `density`: GiB of the host. */
    real: { type: 'string' },
    limit: { type: 'string', default: '12' },
    /** `backup`: megabytes of the database's rows. */
    mb: { type: 'string', default: '1000' },
    /** Of `chaos`: replays its schedule of faults. Of `faults`: the order of its points, with `engine` which they are. */
    seed: { type: 'string' },
    /** `faults`: one of its operations, where not all. */
    operation: { type: 'string' },
    /** `faults`: points on a real engine, where the engine dies and the disk is full too, instead of all of one in memory. */
    engine: { type: 'boolean', default: false },
    minutes: { type: 'string', default: '10' },
    /** `provision`: folder of a running platform's scripts and .env. */
    root: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});

const say = (text: string): void => void process.stderr.write(`${text}\n`);
const BENCHES: Record<string, () => Promise<BenchResult>> = {
  backup: () => backup({ megabytes: Number(values.mb), rounds: Number(values.n ?? 2), say }),
  chaos: () =>
    chaosBench({
      stacks: Number(values.stacks),
      minutes: Number(values.minutes),
      seed: values.seed === undefined ? undefined : Number(values.seed),
      say,
    }),
  'data-plane': () => dataPlane({ minutes: Number(values.minutes), say }),
  density: () => density({ limitGb: Number(values.limit), say }),
  faults: () => faultsBench(),
  provision: () =>
    provision({ n: Number(values.n ?? 10), parallel: Number(values.parallel ?? 8), root: values.root, say }),
  proxy: () => proxy({ minutes: Number(values.minutes), say }),
  reconcile: () =>
    values.real === undefined
      ? reconcile({ n: Number(values.n ?? 500), minutes: Number(values.minutes), say })
      : reconcileReal({ stacks: Number(values.real), say }),
  routes: () => routes({ n: Number(values.n ?? 1_000), say }),
  upgrade: () => upgrade({ n: Number(values.n ?? 30), say }),
};

/** Both bring the tests' tools along, which are fetched when they are imported. */
async function faultsBench(): Promise<BenchResult> {
  const { operation } = values;
  const seed = Number(values.seed ?? Math.floor(Math.random() * 1e9));
  if (values.engine) {
    return (await import('./faults-engine.js')).faultsOnEngine({ operation, seed, most: Number(values.n ?? 1), say });
  }
  const most = values.n === undefined ? undefined : Number(values.n);
  return (await import('./faults.js')).faults({ operation, parallel: Number(values.parallel ?? 2), seed, most, say });
}

const name = positionals[0] ?? '';
const bench = BENCHES[name];
/** Whether it brings up a platform in an engine of its own. */
const own =
  ['backup', 'chaos', 'data-plane', 'density', 'proxy', 'upgrade'].includes(name) ||
  (name === 'faults' && values.engine) ||
  (name === 'provision' && values.root === undefined) ||
  (name === 'reconcile' && values.real !== undefined);
if (!bench) {
  say(
    `usage: npm run bench -- ${Object.keys(BENCHES).join('|')} [--n N] [--parallel 8] [--real N] [--limit 12] [--mb 1000] [--stacks 20] [--seed S] [--operation backup] [--engine] [--minutes 10] [--root FOLDER] [--json]`,
  );
  process.exit(2);
}
if (own) {
  await inOwnEngine();
}
const { metrics, goals, lines, failed = false } = await bench();
process.stdout.write(
  values.json
    ? `${JSON.stringify({ bench: name, commit: await commitOf(), machine: machineOf(), metrics, goals })}\n`
    : `${lines.join('\n')}\n\n${goals.map(({ metric, unit, goal, value, met }) => `${met ? '✓' : '✗'} ${metric}: ${value} ${unit} (goal ${goal})`).join('\n')}\n`,
);
process.exit(failed ? 1 : 0);
