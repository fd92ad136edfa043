import type { ReleaseView } from '#libs/contracts';
import { effectsOf, madeOf, offerName } from './releases.js';

const release = (day: number, state: ReleaseView['state'], over: Partial<ReleaseView> = {}): ReleaseView => ({
  id: `standard@0.${day}.0+0000000${day}`,
  template: 'standard',
  version: `0.${day}.0`,
  state,
  notes: '',
  images: {},
  requires: [],
  databaseMajor: 17,
  createdAt: `2026-11-0${day}T00:00:00.000Z`,
  stacks: day,
  failed: 0,
  ...over,
});
const newest = release(4, 'candidate');
const present = release(3, 'stable');
const before = release(2, 'stable');
const all = [release(5, 'stable', { template: 'other' }), newest, present, before];

it('new stacks are made of the newest stable one of their template', () => {
  expect(madeOf(all, 'standard')).toBe(present);
  expect(madeOf([newest], 'standard')).toBeNull();
});

it('counts what a move changes: what new stacks are made of, and which stacks are offered another', () => {
  expect(effectsOf(all, newest, 'promote')).toEqual({
    newStacks: { release: { ...newest, state: 'stable' }, changes: true },
    older: 5,
  });
  expect(effectsOf(all, present, 'withdraw').newStacks).toEqual({ release: before, changes: true });
  expect(effectsOf(all, before, 'withdraw').newStacks).toEqual({ release: present, changes: false });
  expect(effectsOf([newest, present], present, 'withdraw').newStacks).toEqual({ release: null, changes: true });
  expect(effectsOf([newest], newest, 'withdraw').newStacks).toEqual({ release: null, changes: false });
  const late = release(1, 'candidate');
  expect(effectsOf([...all, late], late, 'promote')).toEqual({
    newStacks: { release: present, changes: false },
    older: 0,
  });
});

it('calls an offered release by its version, and another build of the same version by its digest too', () => {
  const upgrade = { release: 'standard@0.2.0+0a1b2c3d', version: '0.2.0' };
  expect(offerName({ release: '0.1.0', upgrade })).toBe('0.2.0');
  expect(offerName({ release: '0.2.0', upgrade })).toBe('0.2.0+0a1b2c3d');
  expect(offerName({ release: '0.2.0', upgrade: null })).toBeNull();
});
