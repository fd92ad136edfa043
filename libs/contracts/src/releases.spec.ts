import {
  makeReleaseSchema,
  RELEASE_MOVES,
  RELEASE_NOTES_MOST,
  RELEASE_STATES,
  releaseMoves,
  releaseNotesSchema,
  waitingReleases,
} from './releases.js';

it('a release goes from draft to stable by way of candidate, is withdrawn from anywhere, and comes back as candidate', () => {
  const moves = RELEASE_STATES.flatMap((from) =>
    releaseMoves(from).map((move) => `${from} ${move} ${RELEASE_MOVES[move].to}`),
  );
  expect(moves).toEqual([
    'draft offer candidate',
    'draft withdraw withdrawn',
    'candidate promote stable',
    'candidate withdraw withdrawn',
    'stable withdraw withdrawn',
    'withdrawn offer candidate',
  ]);
});

const one = (template: string, state: (typeof RELEASE_STATES)[number]) => ({ template, state });

it('of each template the newest release waits for a person, unless it is stable', () => {
  const waiting = (...releases: ReturnType<typeof one>[]) =>
    waitingReleases(releases).map(({ release, move }) => `${release.template} ${release.state} ${move}`);
  expect(waiting(one('a', 'draft'), one('b', 'candidate'), one('a', 'stable'), one('b', 'stable'))).toEqual([
    'a draft offer',
    'b candidate promote',
  ]);
  // What is older than a stable one was passed over, and what was withdrawn is decided on.
  expect(waiting(one('a', 'stable'), one('a', 'draft'))).toEqual([]);
  expect(waiting(one('a', 'withdrawn'), one('a', 'stable'))).toEqual([]);
  expect(waiting(one('a', 'withdrawn'), one('a', 'draft'), one('a', 'stable'))).toEqual(['a draft offer']);
});

it.each([
  ['a tag', 'aviary/runtime:1.8.0'],
  ['a registry with a port', 'registry.example.org:5000/aviary/runtime:V2'],
  ['a digest', `example.org/runtime@sha256:${'a'.repeat(64)}`],
  ['an id', `sha256:${'0'.repeat(64)}`],
])('a release is made of an image by %s', (_by, runtime) => {
  const wish = { like: 'standard@1.0.0+00000000', version: '1.1.0', images: { runtime } };
  expect(makeReleaseSchema.parse(wish)).toEqual({ ...wish, notes: '', requires: [] });
});

it.each([
  ['no version', { version: '1.1' }],
  ['a version of letters', { version: '1.1.x' }],
  ['an image with a space', { images: { runtime: 'a b' } }],
  ['an image that is an option', { images: { runtime: '-a' } }],
  ['an image that names a path', { images: { runtime: '../a' } }],
  ['notes that are too long', { notes: 'a'.repeat(RELEASE_NOTES_MOST + 1) }],
  ['notes that a terminal obeys', { notes: 'a\u001B[2Jb' }],
  ['a migration by its number', { requires: ['1763700000002'] }],
])('a release is not made with %s', (_what, over) => {
  const wish = { like: 'standard@1.0.0+00000000', version: '1.1.0' };
  expect(makeReleaseSchema.safeParse({ ...wish, ...over }).success).toBe(false);
});

it('notes have lines, and no space around them', () => {
  expect(releaseNotesSchema.parse({ notes: '\n  Grids start faster.\n\t– 世界\r\n' })).toEqual({
    notes: 'Grids start faster.\n\t– 世界',
  });
});
