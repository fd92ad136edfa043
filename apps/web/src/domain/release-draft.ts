import { makeReleaseSchema, type MakeRelease, type ReleaseView } from '#libs/contracts';

/** What is typed on the page that makes a release, besides its images. */
export const RELEASE_FIELDS = ['like', 'version', 'notes', 'requires', 'databaseMajor'] as const;
export type ReleaseField = (typeof RELEASE_FIELDS)[number];
/** With the image of each service under `imageField`. */
export type ReleaseDraft = Record<string, string> & Record<ReleaseField, string>;

export const imageField = (service: string): string => `image.${service}`;

/** Nothing typed, for whatever release it will be like. */
export function emptyDraft(releases: readonly ReleaseView[]): ReleaseDraft {
  const services = new Set(releases.flatMap(({ images }) => Object.keys(images)));
  return {
    ...Object.fromEntries([...services].map((service) => [imageField(service), ''])),
    like: releases[0]?.id ?? '',
    version: '',
    notes: '',
    requires: '',
    databaseMajor: '',
  };
}

export type ReadDraft = { wish: MakeRelease; problems: null } | { wish: null; problems: ReadonlySet<string> };

/** The release a draft stands for; where it stands for none, the fields that keep it from that. */
export function wishOf(like: Pick<ReleaseView, 'id' | 'images'>, draft: ReleaseDraft): ReadDraft {
  const images = Object.keys(like.images)
    .map((service) => [service, (draft[imageField(service)] ?? '').trim()] as const)
    .filter(([, image]) => image !== '');
  const major = draft.databaseMajor.trim();
  const parsed = makeReleaseSchema.safeParse({
    like: like.id,
    version: draft.version.trim(),
    images: Object.fromEntries(images),
    notes: draft.notes,
    requires: draft.requires.split(/[\s,;]+/).filter(Boolean),
    ...(major === '' ? {} : { databaseMajor: Number(major) }),
  });
  if (parsed.success) {
    return { wish: parsed.data, problems: null };
  }
  const problems = parsed.error.issues.map(({ path: [field, part] }) =>
    field === 'images' ? imageField(String(part)) : String(field),
  );
  return { wish: null, problems: new Set(problems) };
}

const quoted = (text: string): string =>
  /^[A-Za-z0-9@+.:/_=,-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;

/** What the command line is told for the same. */
export function releaseCli({ like, version, images, notes, requires, databaseMajor }: MakeRelease): string {
  return [
    `aviary release make --like ${quoted(like)} --version ${version}`,
    ...Object.entries(images).map(([service, image]) => `--image ${quoted(`${service}=${image}`)}`),
    ...(databaseMajor === undefined ? [] : [`--database-major ${databaseMajor}`]),
    ...(requires.length === 0 ? [] : [`--requires ${requires.join(',')}`]),
    ...(notes === '' ? [] : [`--notes ${quoted(notes)}`]),
  ].join(' ');
}
