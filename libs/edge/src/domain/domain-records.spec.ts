import { judgeRecords, type DomainRecords } from './domain-records.js';

const claim = { challenge: 'aviary-domain=mine', authority: 'authority.test' };
const good: DomainRecords = {
  texts: { found: ['v=spf1 -all', 'aviary-domain=mine'] },
  addresses: { found: ['192.0.2.1', '2001:db8::1'] },
  ours: { found: ['192.0.2.1', '192.0.2.2', '2001:db8::1'] },
  authorities: { found: null },
};
const judge = (change: Partial<DomainRecords> = {}, other: Partial<typeof claim> = {}) => {
  const { problem, ...rest } = judgeRecords({ ...good, ...change }, { ...claim, ...other });
  return { ...rest, code: problem?.code ?? null, ...problem?.params };
};

describe('FM-8 what DNS must say before an order', () => {
  it('is the proof, and addresses that are all ours', () => {
    expect(judge()).toEqual({ owned: true, leadsHere: true, code: null });
  });

  it.each<[string, Partial<DomainRecords>, object]>([
    ['no proof', { texts: { found: ['v=spf1 -all'] } }, { owned: false, code: 'TXT_MISSING' }],
    ['another’s proof', { texts: { found: ['aviary-domain=yours'] } }, { owned: false, code: 'TXT_OTHER' }],
    [
      'silence about the proof',
      { texts: { failed: 'ETIMEOUT' } },
      { owned: null, code: 'DNS_FAILED', reason: 'ETIMEOUT' },
    ],
    ['no address', { addresses: { found: [] } }, { leadsHere: false, code: 'ADDRESS_MISSING' }],
    [
      'one address that is not ours',
      { addresses: { found: ['192.0.2.1', '198.51.100.9'] } },
      { leadsHere: false, code: 'ADDRESS_OTHER', found: '198.51.100.9' },
    ],
    ['silence about addresses', { addresses: { failed: 'ESERVFAIL' } }, { leadsHere: null, code: 'DNS_FAILED' }],
    ['silence about our own', { ours: { failed: 'ETIMEOUT' } }, { leadsHere: null, code: 'DNS_FAILED' }],
    [
      'a CAA set without our authority',
      { authorities: { found: ['other.test'] } },
      { owned: true, leadsHere: true, code: 'CAA_FORBIDS', found: 'other.test' },
    ],
    ['a CAA set that allows nobody', { authorities: { found: [''] } }, { code: 'CAA_FORBIDS' }],
    ['silence about CAA', { authorities: { failed: 'ESERVFAIL' } }, { code: 'DNS_FAILED' }],
  ])('is not %s', (_what, change, expected) => {
    expect(judge(change)).toMatchObject(expected);
  });

  it('asks for CAA only where the authority’s name is known', () => {
    expect(
      judgeRecords({ ...good, authorities: { found: ['other.test'] } }, { ...claim, authority: null }).problem,
    ).toBeNull();
    expect(judge({ authorities: { found: ['other.test', 'authority.test'] } }).code).toBeNull();
  });
});
