import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { docker } from './engine.js';

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

async function printed(place: Place, probes: readonly string[]): Promise<string> {
  if (place === 'host') {
    return (await promisify(execFile)('perl', ['-e', PROGRAM, '--', ...probes])).stdout.trim();
  }
  return 'container' in place
    ? docker('exec', place.container, 'perl', '-e', PROGRAM, '--', ...probes)
    : docker('run', '--rm', ...place.options, '--entrypoint', 'perl', place.image, '-e', PROGRAM, '--', ...probes);
}
