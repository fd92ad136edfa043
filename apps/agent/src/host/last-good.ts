import { readFile, rm, writeFile } from 'node:fs/promises';
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

type Data = Pick<HostConfig, 'DATA_DIR'>;
/** The version that was well last, and the one that was before it. */
type Which = 'last' | 'before';
const NAMES: Record<Which, string> = { last: 'last-good.json', before: 'last-good-before.json' };

const fileOf = ({ DATA_DIR }: Data, which: Which): string => join(DATA_DIR, NAMES[which]);
const traefikOf = ({ DATA_DIR }: Data): string => join(DATA_DIR, 'traefik/traefik.yml');
/** There from the moment another version is brought up until one is known to be well. */
const begunOf = ({ DATA_DIR }: Data): string => join(DATA_DIR, 'deploy-begun');

/** How it is made, beside when. */
type Made = Pick<LastGood, 'compose' | 'environment' | 'traefik'>;

async function madeOf(config: Data, compose: Compose): Promise<Made> {
  return {
    compose: await readFile(compose.file, 'utf8'),
    environment: { ...compose.environment },
    traefik: await readFile(traefikOf(config), 'utf8'),
  };
}

const isSame = (one: Made, other: Made): boolean =>
  one.compose === other.compose &&
  one.traefik === other.traefik &&
  Object.keys({ ...one.environment, ...other.environment }).every(
    (name) => one.environment[name] === other.environment[name],
  );

async function write(config: Data, which: Which, good: LastGood): Promise<void> {
  await writeWhole(fileOf(config, which), `${JSON.stringify(good, null, 2)}\n`, { mode: 0o600 });
}

/** To be called before anything is made anew: where another version than the last good one is meant, that is noted. */
export async function noteBegun(config: Data, compose: Compose): Promise<void> {
  const good = await readGood(config);
  if (good !== null && !isSame(good, await madeOf(config, compose))) {
    await writeWhole(begunOf(config), `${imageOf(compose)}\n`, { mode: 0o600 });
  }
}

/** To be called once the whole was seen to be well. What was well before it, where that was another, stays known. */
export async function noteGood(
  config: Data,
  compose: Compose,
  { services, now }: { services: readonly string[]; now: Date },
): Promise<void> {
  const good: LastGood = { at: now.toISOString(), services: [...services], ...(await madeOf(config, compose)) };
  const former = await readGood(config);
  if (former !== null && !isSame(former, good)) {
    await write(config, 'before', former);
  }
  await write(config, 'last', good);
  await rm(begunOf(config), { force: true });
}

/** To be called once it was put back and seen to be well. What it was put in the place of is not kept as well. */
export async function noteBack(config: Data, good: LastGood): Promise<void> {
  const last = await readGood(config);
  if (last === null || !isSame(last, good)) {
    await write(config, 'last', good);
    await rm(fileOf(config, 'before'), { force: true });
  }
  await rm(begunOf(config), { force: true });
}

/** Null where none was noted. Throws where what is there does not read. */
export async function readGood(config: Data, which: Which = 'last'): Promise<LastGood | null> {
  const text = await readText(fileOf(config, which));
  return text === null ? null : lastGoodSchema.parse(JSON.parse(text));
}

/**
 * What `--back` goes to: after a deploy that was cut off or failed the version that was well last; else, since that one
 * runs, the one before it. Null where nothing is known.
 */
export async function goodBehind(config: Data): Promise<LastGood | null> {
  const last = await readGood(config);
  return (await readText(begunOf(config))) === null ? ((await readGood(config, 'before')) ?? last) : last;
}

/** References of images that going back needs. */
export async function imagesOfGood(config: Data): Promise<Set<string>> {
  const kept = await Promise.all([readGood(config), readGood(config, 'before')]);
  return new Set(
    kept.flatMap((good) =>
      Object.entries(good?.environment ?? {}).flatMap(([name, value]) => (IMAGE.test(name) ? [value] : [])),
    ),
  );
}

const IMAGE = /^AVIARY_IMAGE_(\w+)$/;

/** Its services, ready to be made again; what else they find in the data folder is as it was too. */
export async function composeOfGood(config: Data, good: LastGood): Promise<Compose> {
  await writeWhole(traefikOf(config), good.traefik, { mode: 0o644 });
  await writeWhole(join(config.DATA_DIR, 'portal-image'), `${imageOf(good)}\n`, { mode: 0o644 });
  // In this container, which ends with the command.
  const file = join(tmpdir(), 'last-good.yml');
  await writeFile(file, good.compose);
  return new Compose(file, good.environment);
}

/** The image that the portal's own processes ran in. */
export const imageOf = ({ environment }: Pick<Compose, 'environment'>): string =>
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
    const image = IMAGE.exec(name)?.[1]?.toLowerCase();
    const from = before[name] ?? '';
    return image === undefined || from === to ? [] : [{ image, from, to }];
  });
}
