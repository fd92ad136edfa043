import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Ran } from './cli.js';
import { program } from './program.js';

const ROOT = resolve(import.meta.dirname, '../..');

/**
 * In the place of Docker: what runs does so apart from its client, with pipes of its own. It hears of the client's end by
 * that of its standard input alone, and what nobody reads any more is thrown away.
 */
const ENGINE = `
import { spawn } from 'node:child_process';
const [role, ...command] = process.argv.slice(2);
const [program, ...args] = role === 'client' ? [process.execPath, import.meta.filename, 'engine', ...command] : command;
const child = spawn(program, args, { detached: role === 'client', stdio: 'pipe' });
process.stdin.pipe(child.stdin).on('error', () => undefined);
for (const name of ['stdout', 'stderr']) {
  process[name].on('error', () => undefined);
  child[name].on('data', (chunk) => process[name].write(chunk));
}
child.on('close', (code) => process.exit(code ?? 1));
`;

export interface HostScript {
  run(args: readonly string[], input?: string): Promise<Ran>;
  /** In a group of its own, as a terminal starts it. */
  begin(args: readonly string[], input?: string): { pid: number; ended: Promise<Ran> };
}

/**
 * `scripts/aviary` on a host whose container of the worker is the real command line with that environment, without the
 * host's files. It runs in the folder `at`, where what it needs is put.
 */
export async function hostScript(at: string, env: Record<string, string>): Promise<HostScript> {
  const bin = join(at, 'bin');
  await mkdir(bin);
  await writeFile(join(at, 'engine.mjs'), ENGINE);
  const node = [process.execPath, join(at, 'engine.mjs'), 'client', process.execPath];
  const engine = [...node, ...program('apps/cli/src/main.ts')].map((word) => `'${word}'`).join(' ');
  await writeFile(
    join(bin, 'docker'),
    [
      '#!/bin/sh',
      'case $1 in',
      'version | image) exit 0 ;;',
      'ps) echo worker ;;',
      // What the container has of the host is its standard streams alone.
      `exec) while [ "$1" != worker ]; do shift; done; shift 3; cd '${ROOT}'; exec ${engine} "$@" ;;`,
      'esac',
      '',
    ].join('\n'),
    { mode: 0o755 },
  );
  await writeFile(join(at, 'portal-image'), 'none');
  const host = { ...env, PATH: `${bin}:${process.env['PATH']}`, AVIARY_DATA_DIR: at };
  const begin: HostScript['begin'] = (args, input = '') => {
    const options = { env: host, cwd: at, detached: true, stdio: 'pipe' } as const;
    const child = spawn(join(ROOT, 'scripts/aviary'), args, options);
    child.stdin.end(input);
    const ended = Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, 'exit') as Promise<[number | null]>,
    ]).then(([stdout, stderr, [code]]) => ({ code, stdout, stderr }));
    return { pid: child.pid ?? 0, ended };
  };
  return { begin, run: (args, input) => begin(args, input).ended };
}
