// `npm run bench -- <name> [flags]`: prints figures for people, or with --json one object
// { bench, commit, machine, metrics, goals: [{ metric, unit, goal, value, met }] }. Exit 0 when it ran, met or not.
import { parseArgs } from 'node:util';
import { dataPlane } from './data-plane.js';
import { provision } from './provision.js';
import { reconcile } from './reconcile.js';
import { routes } from './routes.js';
import { commitOf, machineOf, type BenchResult } from './report.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    /** Stacks: 10 for provision, 500 for reconcile and 1000 for routes unless told. */
    n: { type: 'string' },
    parallel: { type: 'string', default: '8' },
    minutes: { type: 'string', default: '10' },
    /** Folder of the running platform's scripts and .env. */
    root: { type: 'string', default: process.cwd() },
    json: { type: 'boolean', default: false },
  },
});

const say = (text: string): void => void process.stderr.write(`${text}\n`);
const BENCHES: Record<string, () => Promise<BenchResult>> = {
  'data-plane': () => dataPlane({ minutes: Number(values.minutes), root: values.root, say }),
  provision: () => provision({ n: Number(values.n ?? 10), parallel: Number(values.parallel), root: values.root, say }),
  reconcile: () => reconcile({ n: Number(values.n ?? 500), say }),
  routes: () => routes({ n: Number(values.n ?? 1_000), say }),
};

const name = positionals[0] ?? '';
const bench = BENCHES[name];
if (!bench) {
  say(
    `usage: npm run bench -- ${Object.keys(BENCHES).join('|')} [--n N] [--parallel 8] [--minutes 10] [--root FOLDER] [--json]`,
  );
  process.exit(2);
}
const { metrics, goals, lines } = await bench();
process.stdout.write(
  values.json
    ? `${JSON.stringify({ bench: name, commit: await commitOf(), machine: machineOf(), metrics, goals })}\n`
    : `${lines.join('\n')}\n\n${goals.map(({ metric, unit, goal, value, met }) => `${met ? '✓' : '✗'} ${metric}: ${value} ${unit} (goal ${goal})`).join('\n')}\n`,
);
process.exit(0);
