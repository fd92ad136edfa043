import { lacking, madeTemplate, requiredBy } from './made-template.js';
import { parseTemplate, type Template } from './template.js';

const like = parseTemplate(
  {
    name: 'small',
    services: {
      app: { image: 'app:1', user: '1000:1000', networks: ['internal', 'edge'] },
      store: { image: 'store:1', user: '1000:1000', networks: ['internal'] },
    },
    'x-aviary': {
      version: '1.0.0',
      shares: { app: { memory: 0.5, cpus: 0.5 }, store: { memory: 0.5, cpus: 0.5 } },
      routes: [{ host: 'dashboard', service: 'app', port: 80, auth: 'portal' }],
      runtime: { service: 'app', port: 80, ready: '/ready' },
      secrets: {},
      files: {},
      backup: { postgres: ['store'], volumes: [] },
      upgradeOrder: ['store', 'app'],
      databaseMajor: 17,
      requires: ['Stacks1763700000002'],
    },
  },
  {},
);
const nothing = { version: '1.1.0', images: {}, requires: [] };

it('a made template is the other one, but for its version, the images that are named, and what it needs', () => {
  const made = madeTemplate(like, { ...nothing, images: { app: 'app:2' }, requires: ['Rollouts1763700000022'] });
  expect(made).toEqual({
    ...like,
    services: { ...like.services, app: { ...like.services['app'], image: 'app:2' } },
    aviary: { ...like.aviary, version: '1.1.0', requires: ['Rollouts1763700000022'] },
  });
  expect(madeTemplate(like, { ...nothing, databaseMajor: 18 }).aviary).toMatchObject({ databaseMajor: 18 });
  // What the other one needed was for its images: nothing is needed that is not said.
  expect(requiredBy(madeTemplate(like, nothing))).toEqual([]);
  expect(like.aviary.version).toBe('1.0.0');
});

it('an image is of a service that there is', () => {
  expect(() => madeTemplate(like, { ...nothing, images: { web: 'app:2' } })).toThrow(
    'small has no service web; it has app, store.',
  );
  expect(() => madeTemplate(like, { ...nothing, images: { toString: 'app:2' } })).toThrow('no service toString');
});

it('a release lacks the migrations that it needs and the portal has not had', () => {
  const needs = (...requires: string[]): Template => madeTemplate(like, { ...nothing, requires });
  expect(lacking(needs('Stacks1763700000002', 'Later1863700000001'), ['Stacks1763700000002'])).toEqual([
    'Later1863700000001',
  ]);
  expect(lacking(needs(), [])).toEqual([]);
});
