import { OPERATION_KINDS, OPERATION_STATES } from '#libs/contracts';
import { headline, STALE_AFTER_MS, type HeadlineInput } from './headline.js';
import {
  crossingOf,
  forbiddenByHold,
  isSameAs,
  mayCancel,
  mayMove,
  OPERATION_PHASES,
  operationDeadlineMs,
  outageOf,
  preempts,
} from './operation-rules.js';
import { HEARTBEAT_TRUSTED_MS, mayWake, restProblem } from './rest.js';
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
    ['suspended', { holds: ['billing'], observed: 'stopped' }, 'suspended'],
    ['suspended and seen to run', { holds: ['billing'] }, 'attention'],
    ['a hold wins over an operation', { holds: ['billing'], operation: { kind: 'start', started: true } }, 'suspended'],
    ['an operation in the queue', { operation: { kind: 'start', started: false } }, 'queued'],
    ['an operation under way', { operation: { kind: 'provision', started: true } }, 'creating'],
    ['a restore under way', { operation: { kind: 'restore', started: true } }, 'restoring'],
    ['a backup beside it', { operation: { kind: 'backup', started: true } }, 'running'],
    [
      'a backup waiting beside one that is suspended',
      { holds: ['billing'], observed: 'stopped', operation: { kind: 'backup', started: false } },
      'suspended',
    ],
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
      expect(OPERATION_PHASES[kind].length).toBeGreaterThan(0);
      expect(operationDeadlineMs(kind)).toBeGreaterThan(60_000);
      expect(['done', 'failed', 'cancelled'].some((state) => mayCancel(kind, state as 'done'))).toBe(false);
    }
    expect(mayCancel('destroy', 'running')).toBe(false);
    expect(mayCancel('destroy', 'queued')).toBe(false);
    expect(mayCancel('stop', 'queued')).toBe(true);
    expect(mayCancel('provision', 'running')).toBe(true);
    // Their rows are changed when they are asked for.
    expect((['suspend', 'resume', 'resize'] as const).some((kind) => mayCancel(kind, 'queued'))).toBe(false);
    expect(mayCancel('hibernate', 'queued')).toBe(true);
    expect(mayCancel('hibernate', 'running')).toBe(false);
  });

  it('can be called off until the stack itself is touched, where something goes on beside it first', () => {
    const crossings = OPERATION_KINDS.flatMap((kind) => {
      const crossing = crossingOf(kind);
      return crossing === null ? [] : [{ kind, ...crossing }];
    });
    expect(Object.fromEntries(crossings.map(({ kind, from, to }) => [kind, [from, to]]))).toEqual({
      restore: ['load', 'unpublish'],
      undo_restore: ['kept', 'unpublish'],
      upgrade: ['safeguard', 'unpublish'],
    });
    for (const { kind, from, to } of crossings) {
      expect([mayCancel(kind, 'running', from), mayCancel(kind, 'running', to)]).toEqual([true, false]);
    }
  });

  it('a hold forbids what would run, and nothing else; the breaker forbids nothing', () => {
    const forbidden = OPERATION_KINDS.filter((kind) => forbiddenByHold(kind, ['operator']));
    expect(forbidden.toSorted()).toEqual(['clone', 'restart', 'start', 'upgrade', 'wake']);
    expect(OPERATION_KINDS.filter((kind) => forbiddenByHold(kind, ['breaker']))).toEqual([]);
  });

  it('a destroy and a suspend take the place of whatever is open, a repair gives way to whatever is asked for', () => {
    const overStart = OPERATION_KINDS.filter((kind) => preempts(kind, { kind: 'start', phase: 'converge' }));
    expect(overStart).toEqual(['stop', 'destroy', 'suspend']);
    // It comes to what is wanted, and so does whatever a person asks for.
    const waiting = OPERATION_KINDS.filter((kind) => !preempts(kind, { kind: 'repair', phase: 'heal' }));
    expect(waiting).toEqual(['repair']);
  });

  it('a stop takes the place of what brings a stack up, in any phase, and of what has not touched the stack yet', () => {
    const stopped = OPERATION_KINDS.flatMap((kind) =>
      OPERATION_PHASES[kind]
        .filter(({ name: phase }) => preempts('stop', { kind, phase }))
        .map(({ name }) => `${kind} ${name}`),
    );
    const whole = (['provision', 'start', 'restart', 'wake', 'resume', 'repair'] as const).flatMap((kind) =>
      OPERATION_PHASES[kind].map(({ name }) => `${kind} ${name}`),
    );
    const beside = [
      ...['dump', 'store', 'prove'].map((phase) => `backup ${phase}`),
      'prune prune',
      'undo_restore kept',
      ...['safeguard', 'load'].map((phase) => `restore ${phase}`),
      ...['preflight', 'safeguard'].map((phase) => `upgrade ${phase}`),
    ];
    expect(stopped.toSorted()).toEqual([...whole, ...beside].toSorted());
    // All its phases are done: what it did stands, and its end is a moment away.
    expect(preempts('stop', { kind: 'upgrade', phase: null })).toBe(false);
  });

  it('asked for again it is the open one where it leads to a state, and another where it does something', () => {
    expect(OPERATION_KINDS.filter((kind) => isSameAs(kind, kind))).toEqual([
      'start',
      'stop',
      'destroy',
      'suspend',
      'resume',
      'hibernate',
      'wake',
    ]);
    expect(
      OPERATION_KINDS.flatMap((kind) => OPERATION_KINDS.filter((open) => open !== kind && isSameAs(kind, open))),
    ).toEqual([]);
  });
});

describe('rest', () => {
  const heartbeat = { at: now, runningBots: 0, openOrders: 0 };
  it.each<[string, Parameters<typeof restProblem>[0], string | null]>([
    ['one that trades nothing', { heartbeat, observed: 'running', now }, null],
    ['a bot', { heartbeat: { ...heartbeat, runningBots: 1 }, observed: 'running', now }, 'bots_running'],
    [
      'orders of a bot that is paused',
      { heartbeat: { ...heartbeat, openOrders: 2 }, observed: 'running', now },
      'orders_open',
    ],
    ['silence', { heartbeat: null, observed: 'running', now }, 'no_report'],
    [
      'old news',
      { heartbeat: { ...heartbeat, at: new Date(now.getTime() - HEARTBEAT_TRUSTED_MS - 1) }, observed: 'running', now },
      'no_report',
    ],
    ['one that is not seen running', { heartbeat, observed: 'failed', now }, 'not_running'],
  ])('%s', (_name, input, expected) => {
    expect(restProblem(input)).toBe(expected);
  });

  it('is ended by a visit only where it was asked for and nobody holds the stack', () => {
    expect(mayWake('hibernated', [])).toBe(true);
    expect(mayWake('hibernated', ['billing'])).toBe(false);
    expect(['running', 'stopped', 'deleted'].some((desired) => mayWake(desired, []))).toBe(false);
  });
});

describe('the outage of an operation', () => {
  const at = (second: number): Date => new Date(now.getTime() + second * 1_000);
  const step = (phase: string, from: number, to: number | null, action: string | null = null) => ({
    phase,
    action,
    state: to === null ? 'running' : 'done',
    startedAt: at(from),
    finishedAt: to === null ? null : at(to),
  });

  it('is from the address’s leaving the stack until it leads there again', () => {
    const steps = [
      step('safeguard', 0, 60),
      step('unpublish', 60, 61, 'write routes'),
      step('unpublish', 60, 61),
      step('converge', 61, 65),
      step('publish', 66, 67),
    ];
    expect(outageOf(steps)).toBe(7_000);
  });

  it('is not known before its end, and none where the address led to the stack all the time', () => {
    expect(outageOf([step('unpublish', 0, 1), step('publish', 5, null)])).toBeNull();
    expect(outageOf([step('unpublish', 0, 1), { ...step('publish', 5, 9), state: 'failed' }])).toBeNull();
    expect(outageOf([step('dump', 0, 1), step('publish', 5, 9)])).toBeNull();
    // left out
    expect(outageOf([{ ...step('unpublish', 0, 1), startedAt: null }, step('publish', 5, 9)])).toBeNull();
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
