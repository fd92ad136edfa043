import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { IMAGES, type ImageReferences } from './compose.js';
import { BASE_ENV } from './run-command.js';
import { Refusal } from './talk.js';

/** `NAME REFERENCE` lines of scripts/images. */
export function parseReferences(lines: string): Map<string, string> {
  return new Map(
    lines.split('\n').flatMap((line) => {
      const [name, reference] = line.split(' ');
      return name && reference ? [[name, reference] as const] : [];
    }),
  );
}

/**
 * Makes sure the engine has every image and says which. The same script serves the shell and the tests; what it says
 * while it works goes to the person.
 */
export async function ensureImages(repository: string, extra: readonly string[] = []): Promise<ImageReferences> {
  const child = spawn(join(repository, 'scripts/images'), [...IMAGES, ...extra], {
    env: BASE_ENV,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const found = parseReferences(await text(child.stdout));
  if ((await ended) !== 0) {
    throw new Refusal(['An image could not be made; the reason stands above. Mend it and run scripts/up again.']);
  }
  const reference = (name: string): string => {
    const value = found.get(name);
    if (value === undefined) {
      throw new Error(`scripts/images said nothing about ${name}`);
    }
    return value;
  };
  return {
    portal: reference('portal'),
    runtime: reference('runtime'),
    postgres: reference('postgres'),
    redis: reference('redis'),
    traefik: reference('traefik'),
  };
}
