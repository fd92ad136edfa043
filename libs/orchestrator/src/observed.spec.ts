import { STORE_CODES, STORE_TEXT } from '#libs/contracts';
import { reasonOf } from './observed.js';

const gate = (ready: string) => ({
  code: 'HEALTH_GATE_FAILED' as const,
  message: 'The route was not served after 8 s: x.',
  details: { why: 'not_served', seconds: 8, ready, logs: { runtime: ['a line'] } },
});

describe('the reason of a stack', () => {
  it.each(STORE_CODES)('names the store by which its runtime says it is not ready: %s', (code) => {
    expect(reasonOf(gate(code))).toEqual({
      code,
      message: STORE_TEXT[code],
      params: { why: 'not_served', seconds: 8, ready: code },
    });
  });

  it('is the error’s own where the runtime named none, or another thing failed', () => {
    expect(reasonOf(gate('UNAVAILABLE'))).toMatchObject({ code: 'HEALTH_GATE_FAILED', message: gate('').message });
    expect(reasonOf({ ...gate('REDIS_AWAY'), code: 'DEADLINE_EXCEEDED' })).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
  });
});
