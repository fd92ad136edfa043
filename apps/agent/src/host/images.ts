import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { loadConfig } from '#libs/config';
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

async function askScript(repository: string, args: readonly string[]): Promise<Map<string, string>> {
  const child = spawn(join(repository, 'scripts/images'), args, {
    env: { ...BASE_ENV, AVIARY_NO_REGISTRY: loadConfig('hostCommand').NO_REGISTRY },
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
  return found;
}

/** What the sources would make of these images now; nothing is made. */
export async function imageReferences(repository: string, names: readonly string[]): Promise<Map<string, string>> {
  return askScript(repository, ['--list', ...names]);
}

/**
 * Makes sure the engine has every image and says which. The same script serves the shell and the tests; what it says
 * while it works goes to the person.
 */
export async function ensureImages(repository: string): Promise<ImageReferences> {
  const found = await askScript(repository, IMAGES);
  const reference = (name: string): string => said(found, name);
  return {
    portal: reference('portal'),
    runtime: reference('runtime'),
    postgres: reference('postgres'),
    redis: reference('redis'),
    traefik: reference('traefik'),
  };
}

/** The same for one image that not every platform needs; gives its reference. */
export async function ensureImage(repository: string, name: string): Promise<string> {
  return said(await askScript(repository, [name]), name);
}

function said(found: ReadonlyMap<string, string>, name: string): string {
  const reference = found.get(name);
  if (reference === undefined) {
    throw new Error(`scripts/images said nothing about ${name}`);
  }
  return reference;
}
