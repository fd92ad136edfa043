import { expiryFindings } from './certificate-watch.js';

const now = new Date('2026-11-21T10:00:00Z');
const inDays = (days: number): Date => new Date(now.getTime() + days * 86_400_000);
const levels = (days: number): [unknown, string] | null => {
  const [found] = expiryFindings({ portal: inDays(days) }, 'acme', now);
  return found ? [found.params['level'], found.severity] : null;
};

describe('the end of a certificate', () => {
  it('FM-8 is told at 21, 14 and 7 days, and once it is over', () => {
    expect(levels(30)).toBeNull();
    expect(levels(21.01)).toBeNull();
    expect(levels(21)).toEqual([21, 'warning']);
    expect(levels(14.01)).toEqual([21, 'warning']);
    expect(levels(14)).toEqual([14, 'warning']);
    expect(levels(7)).toEqual([7, 'critical']);
    expect(levels(0)).toEqual([0, 'critical']);
    expect(levels(-400)).toEqual([0, 'critical']);
  });

  it('FM-8 names the certificate, the day and what to do, which differs by where it comes from', () => {
    const [portal, tenants] = expiryFindings({ portal: inDays(6.5), tenants: inDays(-1) }, 'files', now);
    expect(portal).toMatchObject({ key: 'certificate/portal/ends', code: 'CERTIFICATE_EXPIRES' });
    expect(portal?.message).toBe(
      'The certificate portal ends in 6 days, on 2026-11-27. Put a new one into certs/ of the data folder; it is taken up within twelve hours, or at once by scripts/up.',
    );
    expect(tenants?.message).toContain('is valid no more since 2026-11-20');
    expect(expiryFindings({ portal: inDays(6) }, 'acme', now)[0]?.message).toContain('Its renewal fails');
  });
});
