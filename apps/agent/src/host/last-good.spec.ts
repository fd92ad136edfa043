import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Compose } from './compose.js';
import {
  changedImages,
  composeOfGood,
  goodBehind,
  imageOf,
  imagesOfGood,
  noteBack,
  noteBegun,
  noteGood,
  readGood,
} from './last-good.js';

const ENVIRONMENT = {
  AVIARY_PREFIX: 'abcd',
  AVIARY_IMAGE_PORTAL: 'aviary/portal:1',
  AVIARY_IMAGE_REDIS: 'aviary/redis:1',
};

// The files belong to root.
const asRoot = process.getuid?.() === 0 ? it : it.skip;

asRoot('what was well is made again as it was, whatever the sources say by now', async () => {
  const DATA_DIR = await mkdtemp(join(tmpdir(), 'aviary-good-'));
  try {
    const at = (name: string): string => join(DATA_DIR, name);
    await mkdir(at('traefik'));
    await writeFile(at('traefik/traefik.yml'), 'of then');
    await writeFile(at('compose.yml'), 'services of then');
    expect(await readGood({ DATA_DIR })).toBeNull();
    await noteGood({ DATA_DIR }, new Compose(at('compose.yml'), ENVIRONMENT), {
      services: ['api', 'agent'],
      now: new Date('2026-01-01T00:00:00Z'),
    });
    expect((await stat(at('last-good.json'))).mode & 0o777).toBe(0o600);

    await writeFile(at('traefik/traefik.yml'), 'of now');
    await writeFile(at('compose.yml'), 'services of now');
    await writeFile(at('portal-image'), 'aviary/portal:2');
    const good = await readGood({ DATA_DIR });
    expect(good).toMatchObject({
      at: '2026-01-01T00:00:00.000Z',
      environment: ENVIRONMENT,
      services: ['api', 'agent'],
    });
    expect(imageOf(good!)).toBe('aviary/portal:1');
    const compose = await composeOfGood({ DATA_DIR }, good!);
    expect(await readFile(compose.file, 'utf8')).toBe('services of then');
    expect(compose.environment).toEqual(ENVIRONMENT);
    expect(await readFile(at('traefik/traefik.yml'), 'utf8')).toBe('of then');
    // The other scripts use that one again.
    expect((await readFile(at('portal-image'), 'utf8')).trim()).toBe('aviary/portal:1');
  } finally {
    await rm(DATA_DIR, { recursive: true });
  }
});

it('images that are others are told by name', () => {
  const now = {
    ...ENVIRONMENT,
    AVIARY_IMAGE_PORTAL: 'aviary/portal:2',
    AVIARY_IMAGE_MAILER: 'aviary/mailer:1',
    AVIARY_ENV: 'x',
  };
  expect(changedImages(ENVIRONMENT, ENVIRONMENT)).toEqual([]);
  expect(changedImages(ENVIRONMENT, now)).toEqual([
    { image: 'portal', from: 'aviary/portal:1', to: 'aviary/portal:2' },
    { image: 'mailer', from: '', to: 'aviary/mailer:1' },
  ]);
});

describe('where --back goes', () => {
  let DATA_DIR: string;
  beforeEach(async () => {
    DATA_DIR = await mkdtemp(join(tmpdir(), 'aviary-good-'));
    await mkdir(join(DATA_DIR, 'traefik'));
    await writeFile(join(DATA_DIR, 'traefik/traefik.yml'), 'static');
    await writeFile(join(DATA_DIR, 'compose.yml'), 'services');
  });
  afterEach(() => rm(DATA_DIR, { recursive: true }));

  const version = (number: number): Compose =>
    new Compose(join(DATA_DIR, 'compose.yml'), { ...ENVIRONMENT, AVIARY_IMAGE_PORTAL: `aviary/portal:${number}` });
  const well = (number: number): Promise<void> =>
    noteGood({ DATA_DIR }, version(number), { services: ['api'], now: new Date('2026-01-01T00:00:00Z') });
  const begin = (number: number): Promise<void> => noteBegun({ DATA_DIR }, version(number));
  const back = async (): Promise<string | null> => {
    const good = await goodBehind({ DATA_DIR });
    return good && imageOf(good);
  };
  const portals = async (): Promise<string[]> =>
    [...(await imagesOfGood({ DATA_DIR }))].filter((image) => image.startsWith('aviary/portal')).toSorted();

  asRoot('is the version before the one that runs and is well', async () => {
    expect([await back(), await portals()]).toEqual([null, []]);
    await begin(1);
    await well(1);
    expect(await back()).toBe('aviary/portal:1');
    await begin(2);
    await well(2);
    expect([await back(), await portals()]).toEqual(['aviary/portal:1', ['aviary/portal:1', 'aviary/portal:2']]);
    // The same once more is no other version.
    await begin(2);
    await well(2);
    expect(await back()).toBe('aviary/portal:1');
    await begin(3);
    await well(3);
    expect([await back(), await portals()]).toEqual(['aviary/portal:2', ['aviary/portal:2', 'aviary/portal:3']]);
  });

  asRoot('is the one that was well last while another was only begun', async () => {
    await well(1);
    await well(2);
    await begin(3);
    expect([await back(), await portals()]).toEqual(['aviary/portal:2', ['aviary/portal:1', 'aviary/portal:2']]);
    await noteBack({ DATA_DIR }, (await readGood({ DATA_DIR }))!);
    expect(await back()).toBe('aviary/portal:1');
  });

  asRoot('is not what was just left', async () => {
    await well(1);
    await well(2);
    await noteBack({ DATA_DIR }, (await goodBehind({ DATA_DIR }))!);
    expect([imageOf((await readGood({ DATA_DIR }))!), await back()]).toEqual(['aviary/portal:1', 'aviary/portal:1']);
    expect(await portals()).toEqual(['aviary/portal:1']);
  });
});
