import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { docker, engineEndpoint } from './engine.js';

const PROGRAM = readFileSync(join(__dirname, 'probe.pl'), 'utf8');

/** Where a probe is tried: a container that runs, this host, or a container made for it by `docker run` options. */
export type Place = 'host' | { container: string } | { image: string; options: readonly string[] };

/** The word `probe.pl` has for each probe, in their order. */
export async function tried(place: Place, probes: readonly string[]): Promise<string[]> {
  const words = (await printed(place, probes)).split('\n').map((line) => line.trim());
  if (words.length !== probes.length) {
    throw new Error(`${probes.length} probes printed ${words.length} words: ${words.join(', ')}`);
  }
  return words;
}

/** Does `work` while a process in the container holds all that its user may have; `taken` is how many that were. */
export async function whileTaken(container: string, what: 'inotify', work: (taken: number) => Promise<void>) {
  const probe = ['perl', '-e', PROGRAM, '--', `take ${what}`];
  const child = spawn('docker', ['-H', engineEndpoint(), 'exec', '-i', container, ...probe], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const closed = once(child, 'close');
  const [said] = (await Promise.race([once(child.stdout, 'data'), closed.then(() => [''])])) as [Buffer | string];
  try {
    await work(Number.parseInt(String(said), 10));
  } finally {
    child.stdin.end();
    await closed;
  }
}

async function printed(place: Place, probes: readonly string[]): Promise<string> {
  if (place === 'host') {
    return (await promisify(execFile)('perl', ['-e', PROGRAM, '--', ...probes])).stdout.trim();
  }
  return 'container' in place
    ? docker('exec', place.container, 'perl', '-e', PROGRAM, '--', ...probes)
    : docker('run', '--rm', ...place.options, '--entrypoint', 'perl', place.image, '-e', PROGRAM, '--', ...probes);
}
