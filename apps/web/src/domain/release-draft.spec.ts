import type { ReleaseView } from '#libs/contracts';
import { emptyDraft, imageField, releaseCli, wishOf, type ReleaseDraft } from './release-draft.js';

const like = {
  id: 'standard@1.0.0+00000000',
  images: { postgres: 'sha256:p', runtime: 'sha256:r' },
} as unknown as ReleaseView;
const read = (change: Partial<ReleaseDraft>) => wishOf(like, { ...emptyDraft([like]), ...change } as ReleaseDraft);

it('what is typed is a release: empty fields say nothing, and images stand for the services of what it is like', () => {
  expect(read({ version: ' 1.1.0 ' })).toEqual({
    wish: { like: like.id, version: '1.1.0', images: {}, notes: '', requires: [] },
    problems: null,
  });
  const { wish } = read({
    version: '1.1.0',
    [imageField('runtime')]: ' aviary/runtime:1.1.0 ',
    // typed while it was to be like one that has this service
    [imageField('web')]: 'web:1',
    requires: 'Stacks1763700000002, Rollouts1763700000022',
    databaseMajor: '18',
    notes: 'Faster.\n',
  });
  expect(wish).toEqual({
    like: like.id,
    version: '1.1.0',
    images: { runtime: 'aviary/runtime:1.1.0' },
    requires: ['Stacks1763700000002', 'Rollouts1763700000022'],
    databaseMajor: 18,
    notes: 'Faster.',
  });
});

it('what keeps it from being one is told by field', () => {
  const { problems } = read({
    version: '1.1',
    [imageField('runtime')]: 'no image',
    requires: 'latest',
    databaseMajor: 'x',
    notes: 'x'.repeat(5_000),
  });
  expect([...(problems ?? [])].toSorted()).toEqual(['databaseMajor', 'image.runtime', 'notes', 'requires', 'version']);
});

it('the command line for it can be pasted into a shell, whatever was typed', () => {
  const { wish } = read({
    version: '1.1.0',
    [imageField('runtime')]: 'aviary/runtime:1.1.0',
    requires: 'Stacks1763700000002',
    databaseMajor: '18',
    notes: "It's $(faster)",
  });
  expect(wish && releaseCli(wish)).toBe(
    `aviary release make --like standard@1.0.0+00000000 --version 1.1.0 --image runtime=aviary/runtime:1.1.0 --database-major 18 --requires Stacks1763700000002 --notes 'It'\\''s $(faster)'`,
  );
});
