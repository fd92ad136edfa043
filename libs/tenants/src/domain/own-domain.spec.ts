import {
  domainProblem,
  domainRefusal,
  domainState,
  isForgotten,
  isTrusted,
  nextLookMs,
  recordsToSet,
} from './own-domain.js';

const now = new Date('2026-03-10T12:00:00.000Z');
const ago = (hours: number): Date => new Date(now.getTime() - hours * 3_600_000);
const HOUR = 3_600_000;

describe('a domain of an owner’s own', () => {
  it.each([
    ['bot.example.org', null],
    ['example.org', null],
    ['xn--bt-fka.example.org', null],
    ['bots', 'single_label'],
    ['*.example.org', 'wildcard'],
    ['1.2.3.4', 'address'],
    ['example.0x7f', 'address'],
    ['bot..example.org', 'not_a_name'],
    ['-bot.example.org', 'not_a_name'],
    ['bot_1.example.org', 'not_a_name'],
    [`${'a'.repeat(64)}.org`, 'not_a_name'],
    [`${'a.'.repeat(126)}org`, 'not_a_name'],
    ['bot.localhost', 'reserved'],
    ['printer.local', 'reserved'],
    ['portal.test', 'platform'],
    ['www.portal.test', 'platform'],
    ['uabc234.stacks.example.net', 'platform'],
    // A zone above ours would take our own names with it.
    ['example.net', 'platform'],
    ['notportal.test', null],
  ])('%s: %s', (domain, refusal) => {
    expect(domainRefusal(domain, ['portal.test', 'stacks.example.net'])).toBe(refusal);
  });

  const row = {
    domain: 'example.org',
    challenge: 'aviary-domain=x',
    verifiedAt: ago(5),
    certificateUntil: ago(-1),
    problem: null,
    problemParams: null,
    confirmedAt: ago(1),
    awaySince: null,
    addresses: ['192.0.2.1', '2001:db8::1'],
    createdAt: ago(6),
  };

  it.each([
    ['waiting', { verifiedAt: null, certificateUntil: null, problem: 'TXT_MISSING' }],
    ['issuing', { certificateUntil: null }],
    ['failing', { certificateUntil: null, problem: 'CAA_FORBIDS' }],
    ['live', {}],
    ['live', { problem: 'ORDER_LATER' }],
    ['live', { problem: 'DNS_FAILED' }],
    ['failing', { problem: 'ADDRESS_OTHER', awaySince: ago(1) }],
    ['failing', { problem: 'ORDER_FAILED', certificateUntil: ago(1) }],
    ['issuing', { certificateUntil: ago(1) }],
    ['failing', { confirmedAt: ago(24.1) }],
    ['failing', { confirmedAt: null }],
    ['live', { confirmedAt: ago(23.9), problem: 'TXT_MISSING' }],
  ] as const)('is %s where it is %j', (state, change) => {
    expect(domainState({ ...row, ...change }, now)).toBe(state);
  });

  it.each([
    [true, {}],
    [true, { confirmedAt: ago(23.9), problem: 'TXT_MISSING' }],
    [false, { confirmedAt: ago(24.1) }],
    [false, { confirmedAt: null }],
    [false, { awaySince: ago(1) }],
    [false, { certificateUntil: ago(0.1) }],
    [false, { certificateUntil: null }],
    [false, { verifiedAt: null }],
  ] as const)('may be signed in at: %s, where it is %j', (trusted, change) => {
    expect(isTrusted({ ...row, ...change }, now)).toBe(trusted);
  });

  it('says what is wrong also where nobody looked, and forgets its proof after two weeks elsewhere', () => {
    expect(domainProblem({ ...row, confirmedAt: ago(25) }, now)).toBe('PROOF_OLD');
    expect(domainProblem({ ...row, confirmedAt: ago(25), problem: 'TXT_OTHER' }, now)).toBe('TXT_OTHER');
    expect(domainProblem({ ...row, verifiedAt: null, confirmedAt: null }, now)).toBeNull();
    expect([13 * 24, 14 * 24].map((hours) => isForgotten({ awaySince: ago(hours) }, now))).toEqual([false, true]);
    expect(isForgotten({ awaySince: null }, now)).toBe(false);
  });

  it('is set up by a CNAME or by addresses, which an apex needs, and by its proof', () => {
    expect(recordsToSet(row, 'uabc234.stacks.test')).toEqual([
      { purpose: 'route', type: 'CNAME', name: 'example.org', value: 'uabc234.stacks.test' },
      { purpose: 'route_instead', type: 'A', name: 'example.org', value: '192.0.2.1' },
      { purpose: 'route_instead', type: 'AAAA', name: 'example.org', value: '2001:db8::1' },
      { purpose: 'ownership', type: 'TXT', name: '_aviary.example.org', value: 'aviary-domain=x' },
    ]);
  });

  it.each([
    [HOUR, { verifiedAt: ago(1), problem: null }],
    [20_000, { createdAt: ago(0.5) }],
    [HOUR / 12, { createdAt: ago(2) }],
    [HOUR, { createdAt: ago(48) }],
    [6 * HOUR, { createdAt: ago(24 * 30) }],
    // A proven one is looked at each hour at least: its proof counts for a day.
    [HOUR, { verifiedAt: ago(9_000), problem: 'DNS_FAILED', createdAt: ago(9_000) }],
    // One that left is looked at as often as one that is new.
    [20_000, { verifiedAt: ago(9_000), awaySince: ago(0.1), createdAt: ago(9_000) }],
    [HOUR / 4, { problem: 'ORDER_FAILED', failedOrders: 1 }],
    [3 * HOUR, { problem: 'ORDER_FAILED', failedOrders: 9 }],
  ] as const)('FM-8 is looked at again after %d ms where it is %j', (ms, change) => {
    const waiting = { verifiedAt: null, createdAt: ago(1), awaySince: null, problem: 'TXT_MISSING', failedOrders: 0 };
    expect(nextLookMs({ ...waiting, ...change } as Parameters<typeof nextLookMs>[0], now)).toBe(ms);
  });
});
