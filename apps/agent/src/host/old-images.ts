import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { imageReferences } from './images.js';
import { imagesOfGood } from './last-good.js';
import { portalRows } from './portal-database.js';
import { CommandError, run } from './run-command.js';
import type { Platform } from './settings.js';
import { say } from './talk.js';

/** What scripts/lib/images.sh writes on every image it builds, with its name; the stages of a build inherit it. */
const LABEL = 'aviary.image';
/** Images that templates name, so that releases of another platform on this engine may need them. */
const OF_TEMPLATES = new Set(['postgres', 'redis', 'runtime']);
const AT_ONCE = 200;

export interface BuiltImage {
  id: string;
  /** `repository:tag`, or null for a stage of a build, which has no name. */
  reference: string | null;
  /** Value of its label. */
  name: string;
}

export interface ImageUse {
  /** References the sources make now, and those that going back to the version before needs. */
  current: ReadonlySet<string>;
  /** Ids that containers were made from, whoever's and whether or not they run. */
  containers: ReadonlySet<string>;
  /** Ids that releases of this platform name. */
  releases: ReadonlySet<string>;
  /** Another platform lives on this engine; its releases cannot be asked. */
  shared: boolean;
}

/** Of the images we built, those that nothing needs any more, each by the narrowest name it has. */
export function superseded(images: readonly BuiltImage[], use: ImageUse): string[] {
  const currentIds = new Set(
    images.filter(({ reference }) => reference !== null && use.current.has(reference)).map(({ id }) => id),
  );
  return images
    .filter(
      ({ id, name }) =>
        !currentIds.has(id) &&
        !use.containers.has(id) &&
        !use.releases.has(id) &&
        !(use.shared && OF_TEMPLATES.has(name)),
    )
    .map(({ id, reference }) => reference ?? id);
}

/**
 * Ids of images that releases may still need: of each that is not withdrawn, and of a withdrawn one while a stack is on
 * it, whose containers may be gone (a rebuilt host), or on its way from or to it.
 */
export const IMAGES_OF_RELEASES = `
  select distinct image.value from releases, jsonb_each_text(releases.images) image
   where releases.state <> 'withdrawn'
      or exists (select from tenants where tenants.release_id = releases.id)
      or exists (select from operations
                  where operations.kind in ('upgrade', 'rollback') and operations.state in ('queued', 'running')
                    and releases.id in (operations.input->>'from', operations.input->>'to'))`;

const lines = (text: string): string[] => text.split('\n').filter(Boolean);

async function builtImages(): Promise<BuiltImage[]> {
  const ids = [
    ...new Set(lines(await run('docker', ['image', 'ls', '-q', '--no-trunc', '--filter', `label=${LABEL}`]))),
  ];
  const format = `{{.Id}}\t{{index .Config.Labels "${LABEL}"}}\t{{range .RepoTags}}{{.}} {{end}}`;
  const found: BuiltImage[] = [];
  for (const line of ids.length === 0 ? [] : lines(await run('docker', ['image', 'inspect', '-f', format, ...ids]))) {
    const [id = '', name = '', tags = ''] = line.split('\t');
    const references = tags.split(' ').filter(Boolean);
    found.push(...(references.length > 0 ? references : [null]).map((reference) => ({ id, reference, name })));
  }
  return found;
}

async function imagesOfContainers(): Promise<Set<string>> {
  const containers = lines(await run('docker', ['ps', '-aq', '--no-trunc']));
  const ids = new Set<string>();
  for (let at = 0; at < containers.length; at += AT_ONCE) {
    const some = containers.slice(at, at + AT_ONCE);
    try {
      lines(await run('docker', ['inspect', '-f', '{{.Image}}', ...some])).forEach((id) => ids.add(id));
    } catch (error) {
      // One removed in between has no image to keep; the others were printed.
      if (!(error instanceof CommandError) || !/No such object/i.test(error.output)) {
        throw error;
      }
      return imagesOfContainers();
    }
  }
  return ids;
}

/** True when anything on this engine carries another platform's id. */
async function isShared(platformId: string): Promise<boolean> {
  const format = '{{.Label "aviary.platform"}}';
  const filter = ['--filter', 'label=aviary.platform', '--format', format];
  const [containers, volumes] = await Promise.all([
    run('docker', ['ps', '-a', ...filter]),
    run('docker', ['volume', 'ls', ...filter]),
  ]);
  return [...lines(containers), ...lines(volumes)].some((id) => id !== platformId);
}

/**
 * Removes images an earlier `up` built and that nothing uses, no release names, the sources no longer make and going
 * back does not need. Never one without our label, and never by force: the engine itself refuses one that came into use in the meantime.
 */
export async function removeOldImages(platform: Platform, repository: string): Promise<void> {
  const images = await builtImages();
  if (images.length === 0) {
    return;
  }
  const names = ['base', ...(await readdir(join(repository, 'images')))];
  const use: ImageUse = {
    current: new Set([
      ...(await imageReferences(repository, names)).values(),
      ...(await imagesOfGood(platform.config)),
    ]),
    containers: await imagesOfContainers(),
    releases: new Set((await portalRows(platform, IMAGES_OF_RELEASES)).flat()),
    shared: await isShared(platform.id),
  };
  let removed = 0;
  for (const image of superseded(images, use)) {
    try {
      await run('docker', ['image', 'rm', image]);
      removed += 1;
    } catch (error) {
      // Removing an image takes its unnamed parents along, so one of the list may be gone already.
      if (!(error instanceof CommandError) || !/No such image/i.test(error.output)) {
        say(`an old image stays: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }
  if (removed > 0) {
    say(`${removed} superseded images removed`);
  }
}
