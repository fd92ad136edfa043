import { RELEASE_STATES } from '#libs/contracts';
import { incompatible, mayBecome } from './release-rules.js';
import type { Template } from './template.js';

const template = (over: object = {}): Template =>
  ({
    name: 'standard',
    services: { postgres: { networks: ['internal'] }, runtime: { networks: ['internal', 'edge'] } },
    volumes: { data: {} },
    ...over,
  }) as unknown as Template;

it('a release goes from draft to stable by way of candidate, is withdrawn from anywhere, and comes back as candidate', () => {
  const moves = RELEASE_STATES.flatMap((from) =>
    RELEASE_STATES.filter((to) => mayBecome(from, to)).map((to) => `${from} ${to}`),
  );
  expect(moves).toEqual([
    'draft candidate',
    'draft withdrawn',
    'candidate stable',
    'candidate withdrawn',
    'stable withdrawn',
    'withdrawn candidate',
  ]);
});

it('a stack goes only to what has its services on their networks and all its volumes', () => {
  expect(incompatible(template(), template({ volumes: { data: {}, more: {} } }))).toBeNull();
  expect(incompatible(template(), template({ name: 'other' }))).toContain('template other');
  expect(incompatible(template(), template({ services: { runtime: { networks: [] } } }))).toContain(
    'has the services runtime, and this stack has postgres, runtime',
  );
  const moved = { postgres: { networks: ['internal', 'edge'] }, runtime: { networks: ['internal', 'edge'] } };
  expect(incompatible(template(), template({ services: moved }))).toBe('Its postgres is on other networks.');
  expect(incompatible(template(), template({ volumes: {} }))).toContain('no volume data');
});
