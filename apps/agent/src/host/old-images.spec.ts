import { superseded, type BuiltImage, type ImageUse } from './old-images.js';

const image = (id: string, reference: string | null, name = 'portal'): BuiltImage => ({ id, reference, name });
const none: ImageUse = { current: new Set(), containers: new Set(), releases: new Set(), shared: false };

it('takes what nothing needs, by its name, and stages by their ids', () => {
  const images = [image('1', 'aviary/portal:old'), image('2', null)];
  expect(superseded(images, none)).toEqual(['aviary/portal:old', '2']);
});

it.each<[string, Partial<ImageUse>]>([
  ['is what the sources make', { current: new Set(['aviary/portal:a']) }],
  ['has a container, also a stopped one', { containers: new Set(['1']) }],
  ['is named by a release', { releases: new Set(['1']) }],
])('leaves an image that %s', (_why, use) => {
  expect(superseded([image('1', 'aviary/portal:a'), image('1', 'aviary/portal:b')], { ...none, ...use })).toEqual([]);
});

it('leaves what releases of another platform may name', () => {
  const images = [image('1', 'aviary/runtime:old', 'runtime'), image('2', 'aviary/portal:old')];
  expect(superseded(images, { ...none, shared: true })).toEqual(['aviary/portal:old']);
});
