import { JOBS, type JobName } from '#libs/contracts';
import { handlerProblems, jobsOf, laneOf } from './lanes.js';

describe('lanes', () => {
  it('give each engine a queue of its own and everything else one', () => {
    expect(laneOf('mail.send')).toBe('mail.send');
    expect(laneOf('engine.operation', 'local')).toBe('engine.operation.local');
    expect(() => laneOf('engine.operation')).toThrow('say which');
    for (const bad of ['', '-a', 'a/b', 'a.b', 'a b', 'x'.repeat(64)]) {
      expect(() => laneOf('engine.operation', bad)).toThrow('engine’s name');
    }
  });

  it('divide all jobs among the processes, none twice', () => {
    const all = [...jobsOf('worker'), ...jobsOf('agent')];
    expect(all.sort()).toEqual((Object.keys(JOBS) as JobName[]).sort());
    expect(new Set(all).size).toBe(all.length);
  });

  it('name every missing, double and foreign handler', () => {
    expect(handlerProblems(['mail.send', 'audit.seal'], ['mail.send', 'audit.seal'])).toEqual([]);
    expect(handlerProblems(['mail.send', 'audit.seal'], ['mail.send', 'mail.send', 'engine.operation'])).toEqual([
      'no handler for audit.seal',
      '2 handlers for mail.send',
      'a handler for engine.operation, which is not this process’s',
    ]);
  });
});
