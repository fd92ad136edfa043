import { OPERATION_KINDS, OPERATION_STATES } from '#libs/contracts';
import { headline, STALE_AFTER_MS, type HeadlineInput } from './headline.js';
import { mayCancel, mayMove, OPERATION_PHASES, operationDeadlineMs } from './operation-rules.js';
import { edgeNames, stackHost, stackNames } from './names.js';

const now = new Date('2026-11-21T10:00:00Z');
const base: HeadlineInput = {
  desired: 'running',
  holds: [],
  observed: 'running',
  checkedAt: now,
  operation: null,
  now,
};

describe('headline', () => {
  it.each<[string, Partial<HeadlineInput>, string]>([
    ['a healthy stack', {}, 'running'],
    [
      'deleting wins over all',
      { desired: 'deleted', holds: ['billing'], operation: { kind: 'destroy', started: true } },
      'deleting',
    ],
    ['a destroy that failed', { desired: 'deleted', observed: 'failed' }, 'attention'],
    ['running though stopped', { desired: 'stopped' }, 'attention'],
    ['a hold wins over an operation', { holds: ['billing'], operation: { kind: 'start', started: true } }, 'suspended'],
    ['an operation in the queue', { operation: { kind: 'start', started: false } }, 'queued'],
    ['an operation under way', { operation: { kind: 'provision', started: true } }, 'creating'],
    ['an open breaker', { holds: ['breaker'] }, 'attention'],
    ['a container missing', { observed: 'partial' }, 'attention'],
    ['never looked at', { checkedAt: null }, 'unknown'],
    ['news too old', { checkedAt: new Date(now.getTime() - STALE_AFTER_MS - 1) }, 'unknown'],
    ['stopped by its owner', { desired: 'stopped', observed: 'stopped' }, 'stopped'],
    ['asleep', { desired: 'hibernated', observed: 'stopped' }, 'asleep'],
    ['stopped though wanted', { observed: 'stopped' }, 'attention'],
  ])('%s', (_name, change, expected) => {
    expect(headline({ ...base, ...change })).toBe(expected);
  });
});

describe('operations', () => {
  it('end states are final and every state can be left or is an end', () => {
    for (const state of OPERATION_STATES) {
      const targets = OPERATION_STATES.filter((to) => mayMove(state, to));
      expect(targets.length > 0).toBe(['queued', 'running'].includes(state));
      expect(mayMove(state, state)).toBe(false);
    }
  });

  it('each kind has phases with deadlines, and none can be cancelled once it ended', () => {
    for (const kind of OPERATION_KINDS) {
      expect(OPERATION_PHASES[kind].length).toBeGreaterThan(1);
      expect(operationDeadlineMs(kind)).toBeGreaterThan(60_000);
      expect(['done', 'failed', 'cancelled'].some((state) => mayCancel(kind, state as 'done'))).toBe(false);
    }
    expect(mayCancel('destroy', 'running')).toBe(false);
    expect(mayCancel('destroy', 'queued')).toBe(false);
    expect(mayCancel('stop', 'queued')).toBe(true);
    expect(mayCancel('provision', 'running')).toBe(true);
  });
});

describe('names', () => {
  const names = stackNames('0190a000-0000-7000-8000-000000000001', 'u4k7mzq');
  it('fit the kernel’s and the engine’s limits and carry the platform', () => {
    expect(names.tenantBridge).toMatch(/^avt[0-9a-f]{4}[a-z2-7]{6}$/);
    expect(names.tenantBridge.length).toBeLessThanOrEqual(15);
    expect(edgeNames('0190a000-0000-7000-8000-000000000001', 14).bridge.length).toBeLessThanOrEqual(15);
    expect(names.volume('data', 3)).toBe(`${names.tenantNetwork}-data-3`);
    expect(stackNames('0190a000-0000-7000-8000-000000000002', 'u4k7mzq').container('x')).not.toBe(names.container('x'));
    expect(stackHost('api', 'u4k7mzq', 'aviary.localhost')).toBe('api-u4k7mzq.aviary.localhost');
  });
});
