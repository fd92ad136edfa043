import { readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { Compose } from './compose.js';
import { readText, writeWhole } from './files.js';
import type { HostConfig } from './settings.js';

const lastGoodSchema = z.object({
  at: z.iso.datetime(),
  /** docker-compose.portal.yml as it was, and all that it took; secrets are not among that. */
  compose: z.string(),
  environment: z.record(z.string(), z.string()),
  /** Names of its services, those that run always. */
  services: z.array(z.string()),
  /** The proxy's static configuration. */
  traefik: z.string(),
});

/** How the portal was made when it was last known to be well: enough to make it so again out of images that are kept. */
export type LastGood = z.infer<typeof lastGoodSchema>;

const fileOf = ({ DATA_DIR }: Pick<HostConfig, 'DATA_DIR'>): string => join(DATA_DIR, 'last-good.json');
const traefikOf = ({ DATA_DIR }: Pick<HostConfig, 'DATA_DIR'>): string => join(DATA_DIR, 'traefik/traefik.yml');

/** To be called once the whole was seen to be well. */
export async function noteGood(
  config: Pick<HostConfig, 'DATA_DIR'>,
  compose: Compose,
  { services, now }: { services: readonly string[]; now: Date },
): Promise<void> {
  const good: LastGood = {
    at: now.toISOString(),
    compose: await readFile(compose.file, 'utf8'),
    environment: { ...compose.environment },
    services: [...services],
    traefik: await readFile(traefikOf(config), 'utf8'),
  };
  await writeWhole(fileOf(config), `${JSON.stringify(good, null, 2)}\n`, { mode: 0o600 });
}

/** Null where none was noted. Throws where what is there does not read. */
export async function readGood(config: Pick<HostConfig, 'DATA_DIR'>): Promise<LastGood | null> {
  const text = await readText(fileOf(config));
  return text === null ? null : lastGoodSchema.parse(JSON.parse(text));
}

/** Its services, ready to be made again; what else they find in the data folder is as it was too. */
export async function composeOfGood(config: Pick<HostConfig, 'DATA_DIR'>, good: LastGood): Promise<Compose> {
  await writeWhole(traefikOf(config), good.traefik, { mode: 0o644 });
  await writeWhole(join(config.DATA_DIR, 'portal-image'), `${imageOf(good)}\n`, { mode: 0o644 });
  // In this container, which ends with the command.
  const file = join(tmpdir(), 'last-good.yml');
  await writeFile(file, good.compose);
  return new Compose(file, good.environment);
}

/** The image that the portal's own processes ran in. */
export const imageOf = ({ environment }: Pick<LastGood, 'environment'>): string =>
  environment['AVIARY_IMAGE_PORTAL'] ?? '';

export interface ImageChange {
  image: string;
  from: string;
  to: string;
}

/** Images of the portal that are others than they were, by name. */
export function changedImages(
  before: Readonly<Record<string, string>>,
  now: Readonly<Record<string, string>>,
): ImageChange[] {
  return Object.entries(now).flatMap(([name, to]) => {
    const image = /^AVIARY_IMAGE_(\w+)$/.exec(name)?.[1]?.toLowerCase();
    const from = before[name] ?? '';
    return image === undefined || from === to ? [] : [{ image, from, to }];
  });
}
