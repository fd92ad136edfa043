import type { StepView } from '#libs/contracts';
import { asCli, elapsedMs, givesWayToStop, mayCancel, nextStepOf, phasesOf, progressOf } from './operation-rungs.js';

const step = (seq: number, phase: string, part: Partial<StepView> = {}): StepView => ({
  seq,
  phase,
  action: null,
  target: null,
  state: 'pending',
  startedAt: null,
  finishedAt: null,
  detail: null,
  ...part,
});

describe('phasesOf', () => {
  it('puts actions below their phase, in the order they ran', () => {
    const phases = phasesOf([
      step(1, 'prepare', { state: 'done' }),
      step(2, 'converge', { state: 'running' }),
      step(6, 'converge', { action: 'create container', target: 'redis' }),
      step(5, 'converge', { action: 'create network' }),
    ]);
    expect(phases.map((phase) => [phase.phase, phase.actions.map((action) => action.action)])).toEqual([
      ['prepare', []],
      ['converge', ['create network', 'create container']],
    ]);
  });
  it('keeps what nobody announced', () => {
    expect(phasesOf([step(1, 'repair', { action: 'start container' })])[0]?.actions).toHaveLength(1);
  });
});

describe('progressOf', () => {
  it.each([
    [['done', 'running', 'pending'], 2, 'b'],
    [['done', 'pending', 'pending'], 2, 'b'],
    [['done', 'done', 'failed'], 3, 'c'],
    [['done', 'done', 'done'], 3, 'c'],
  ] as const)('%j is step %d', (states, current, phase) => {
    const steps = states.map((state, index) => step(index, 'abc'[index] ?? '', { state }));
    expect(progressOf({ steps })).toMatchObject({ current, phase, total: 3, states: [...states] });
  });
  it('has nothing to say without steps', () => {
    expect(progressOf({ steps: [] })).toEqual({ current: 0, total: 0, phase: null, states: [] });
  });
});

describe('elapsedMs', () => {
  const startedAt = '2026-11-21T14:00:00.000Z';
  it('counts to the end, or to now', () => {
    expect(elapsedMs({ startedAt, finishedAt: '2026-11-21T14:00:02.500Z' }, 0)).toBe(2500);
    expect(elapsedMs({ startedAt, finishedAt: null }, Date.parse(startedAt) + 700)).toBe(700);
    expect(elapsedMs({ startedAt: null, finishedAt: null }, 5)).toBeNull();
  });
});

describe('nextStepOf', () => {
  const failed = (code: string) =>
    nextStepOf({ state: 'failed', error: { code, message: '', errorId: '', details: {} } as never });
  it('retries what may pass, waits for what will, and asks for help with the rest', () => {
    expect(failed('HEALTH_GATE_FAILED')).toBe('retry');
    expect(failed('ENGINE_UNREACHABLE')).toBe('wait');
    expect(failed('DATA_MISSING')).toBe('contact');
    expect(nextStepOf({ state: 'done', error: null })).toBe('none');
    expect(nextStepOf({ state: 'cancelled', error: null })).toBe('retry');
  });
});

describe('mayCancel', () => {
  const at = (kind: 'restore' | 'backup' | 'stop', phase: string) => ({
    kind,
    state: 'running' as const,
    steps: ['safeguard', 'load', 'unpublish', 'swap'].map((name, index) =>
      step(index, name, { state: name === phase ? 'running' : 'pending' }),
    ),
  });
  it('ends a restore until the stack itself is touched', () => {
    expect(['safeguard', 'load', 'unpublish', 'swap'].map((phase) => mayCancel(at('restore', phase)))).toEqual([
      true,
      true,
      false,
      false,
    ]);
    expect([mayCancel(at('backup', 'x')), mayCancel(at('stop', 'x'))]).toEqual([true, false]);
    expect(mayCancel({ ...at('stop', 'x'), state: 'queued' })).toBe(true);
  });
});

describe('givesWayToStop', () => {
  const at = (kind: 'provision' | 'restore' | 'resize' | 'stop', phase: string) => ({
    kind,
    steps: ['safeguard', 'load', 'unpublish', 'swap'].map((name, index) =>
      step(index, name, { state: name === phase ? 'running' : 'pending' }),
    ),
  });
  it('is so for what brings a stack up, and for a restore until the stack itself is touched', () => {
    expect(givesWayToStop(at('provision', 'swap'))).toBe(true);
    expect(['safeguard', 'load', 'unpublish', 'swap'].map((phase) => givesWayToStop(at('restore', phase)))).toEqual([
      true,
      true,
      false,
      false,
    ]);
    expect([givesWayToStop(at('resize', 'load')), givesWayToStop(at('stop', 'load'))]).toEqual([false, false]);
  });
});

describe('asCli', () => {
  const operation = { slug: 'u4k7mzq', requestedBy: 'ana' };
  it('names the same operation', () => {
    expect(asCli({ ...operation, kind: 'provision' })).toBe('aviary tenant create --user ana');
    expect(asCli({ ...operation, kind: 'backup' })).toBe('aviary backup take u4k7mzq');
    expect(asCli({ ...operation, kind: 'restart' })).toBe('aviary tenant restart u4k7mzq');
    expect(asCli({ ...operation, kind: 'destroy' })).toBe('aviary tenant destroy u4k7mzq --confirm=u4k7mzq');
  });
});
