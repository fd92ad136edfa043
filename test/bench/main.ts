// `npm run bench -- <name> [flags]`: prints figures for people, or with --json one object
// { bench, commit, machine, metrics, goals: [{ metric, unit, goal, value, met }] }. Exit 0 when it ran, met or not.
import { parseArgs } from 'node:util';
import { provision } from './provision.js';
import { commitOf, machineOf, type BenchResult } from './report.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    n: { type: 'string', default: '10' },
    parallel: { type: 'string', default: '8' },
    /** Folder of the running platform's scripts and .env. */
    root: { type: 'string', default: process.cwd() },
    json: { type: 'boolean', default: false },
  },
});

const say = (text: string): void => void process.stderr.write(`${text}\n`);
const BENCHES: Record<string, () => Promise<BenchResult>> = {
  provision: () => provision({ n: Number(values.n), parallel: Number(values.parallel), root: values.root, say }),
};

const name = positionals[0] ?? '';
const bench = BENCHES[name];
if (!bench) {
  say(`usage: npm run bench -- ${Object.keys(BENCHES).join('|')} [--n 10] [--parallel 8] [--root FOLDER] [--json]`);
  process.exit(2);
}
const { metrics, goals, lines } = await bench();
process.stdout.write(
  values.json
    ? `${JSON.stringify({ bench: name, commit: await commitOf(), machine: machineOf(), metrics, goals })}\n`
    : `${lines.join('\n')}\n\n${goals.map(({ metric, unit, goal, value, met }) => `${met ? '✓' : '✗'} ${metric}: ${value} ${unit} (goal ${goal})`).join('\n')}\n`,
);
process.exit(0);
