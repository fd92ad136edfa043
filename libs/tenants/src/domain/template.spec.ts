import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { DomainError } from '#libs/contracts';
import { parseTemplate } from './template.js';

const variables = { AVIARY_IMAGE_POSTGRES: 'pg:1', AVIARY_IMAGE_REDIS: 'redis:1', AVIARY_IMAGE_RUNTIME: 'runtime:1' };
const text = readFileSync(join(import.meta.dirname, '../../../../tenant-template/standard/compose.yml'), 'utf8');
type Loose = { services: Record<string, Record<string, unknown>>; 'x-aviary': Record<string, unknown> } & Record<
  string,
  unknown
>;
const document = (): Loose => parse(text) as Loose;

function problemsOf(change: (template: Loose) => void): string {
  const template = document();
  change(template);
  try {
    parseTemplate(template, variables);
  } catch (error) {
    expect(error).toBeInstanceOf(DomainError);
    expect((error as DomainError).code).toBe('TEMPLATE_INVALID');
    return ((error as DomainError).details['problems'] as string[]).join('\n');
  }
  return 'accepted';
}

it('accepts the shipped template', () => {
  const template = parseTemplate(document(), variables);
  expect(Object.keys(template.services)).toEqual(['postgres', 'redis', 'runtime']);
  expect(template.services['runtime']?.image).toBe('runtime:1');
  expect(template.services['postgres']?.stop_grace_period).toBe(60);
  expect(template.services['postgres']?.tmpfs[0]).toEqual({ target: '/tmp', sizeBytes: 16 * 1024 * 1024 });
});

const service = (key: string, value: unknown) => (template: Loose) => void (template.services['runtime']![key] = value);

it.each([
  ['a bind mount', service('volumes', ['/etc:/host']), 'only named volumes'],
  ['the engine’s socket', service('volumes', ['/var/run/docker.sock:/var/run/docker.sock']), 'only named volumes'],
  ['a relative bind mount', service('volumes', ['./data:/data']), 'only named volumes'],
  ['a path that climbs', service('volumes', ['data:/data/../etc']), 'must be volume:/path'],
  ['the host network', service('network_mode', 'host'), 'own networks only'],
  ['privilege', service('privileged', true), 'owns the host'],
  ['capabilities', service('cap_add', ['NET_ADMIN']), 'never added'],
  ['published ports', service('ports', ['8080:8080']), 'nothing is published'],
  ['root', service('user', '0:0'), 'not root'],
  ['a foreign network', service('networks', ['internal', 'portal']), 'may only be internal and edge'],
  ['an unknown key', service('sysctls', {}), 'Unrecognized key'],
  ['an unknown top key', (template: Loose) => void (template['networks'] = {}), 'Unrecognized key'],
  ['a template expression', service('image', 'x{{ env "HOME" }}'), 'without {{'],
  ['an image that is not set', service('image', '${AVIARY_IMAGE_OTHER}'), 'is not set'],
  [
    'a route to no service',
    (template: Loose) =>
      void (template['x-aviary']['routes'] = [{ host: 'api', service: 'nginx', port: 80, auth: 'token' }]),
    'no service',
  ],
  [
    'a route to a database',
    (template: Loose) =>
      void (template['x-aviary']['routes'] = [{ host: 'api', service: 'postgres', port: 5432, auth: 'token' }]),
    'edge network',
  ],
  [
    'a route open to everybody on all its paths',
    (template: Loose) =>
      void (template['x-aviary']['routes'] = [{ host: 'api', service: 'runtime', port: 8080, auth: 'none' }]),
    'must be portal or token',
  ],
  [
    'an order that leaves a service out',
    (template: Loose) => void (template['x-aviary']['upgradeOrder'] = ['postgres', 'runtime']),
    'each service once',
  ],
  [
    'an order that names a service twice',
    (template: Loose) => void (template['x-aviary']['upgradeOrder'] = ['postgres', 'redis', 'runtime', 'redis']),
    'each service once',
  ],
  [
    'a secret named like what every object has',
    (template: Loose) => void (template['x-aviary']['files'] = { runtime: { x: '${secret:constructor}' } }),
    'is not known',
  ],
  [
    'an unknown placeholder',
    (template: Loose) => void (template['x-aviary']['files'] = { runtime: { x: '${secret:other}' } }),
    'is not known',
  ],
  [
    'more than the plan',
    (template: Loose) =>
      void ((template['x-aviary']['shares'] as Record<string, unknown>)['redis'] = { memory: 0.9, cpus: 0.1 }),
    'more than 1',
  ],
  [
    'a service name that escapes',
    (template: Loose) => void (template.services['../evil'] = template.services['redis']!),
    'services',
  ],
])('refuses %s', (_what, change, reason) => {
  expect(problemsOf(change)).toContain(reason);
});

it('refuses what is no template at all', () => {
  for (const nonsense of [null, 7, [], 'x', {}]) {
    expect(() => parseTemplate(nonsense, variables)).toThrow('template is not acceptable');
  }
});
