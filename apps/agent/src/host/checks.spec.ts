import type { CapacityItem } from '#libs/contracts';
import { createAuthority, issueLeaf } from '#libs/crypto';
import {
  capacityChecks,
  certificateCheck,
  clockCheck,
  diskCheck,
  engineCheck,
  firewallCheck,
  healthCheck,
  memoryCheck,
  networkCheck,
  portCheck,
  portalCheck,
  processCheck,
} from './checks.js';

const GIB = 2 ** 30;
const room = (level: CapacityItem['level'], share: number | null): CapacityItem => ({
  resource: 'pids',
  unit: 'processes',
  used: 10,
  limit: share && 10 / share,
  share,
  level,
  todo: level === 'ok' || level === 'unknown' ? null : 'Raise kernel.pid_max.',
});
const now = new Date('2026-11-21T12:00:00Z');

it('says what to do with everything that is not well, and nothing else', () => {
  const engine = {
    version: '20.10.24',
    apiVersion: '1.41',
    minApiVersion: '1.12',
    dataRoot: '/x',
    memoryBytes: 1,
    cpus: 2,
    liveRestore: true,
    cgroupVersion: '1',
  };
  const pool = { total: 10, used: 0, routes: [], ownPrefix: 'beef' };
  const good = [
    engineCheck(engine),
    diskCheck('disk', '/', { used: 50 * GIB, free: 50 * GIB }),
    memoryCheck({ total: 4 * GIB, available: GIB }),
    clockCheck({ skewSeconds: 1, synchronised: null, notBefore: now, now }),
    networkCheck('10.128.0.0/14', pool),
    ...capacityChecks([room('ok', 0.5), room('unknown', null)]),
    firewallCheck('a', 'a'),
    processCheck([], { api: 1 }),
    healthCheck('agent', []),
    portalCheck('https://x', 200, ''),
    portCheck(443, 'ours'),
  ];
  const poor = [
    engineCheck({ ...engine, liveRestore: false }),
    engineCheck({ ...engine, apiVersion: '1.30' }),
    diskCheck('disk', '/', { used: 90 * GIB, free: 10 * GIB }),
    diskCheck('disk', '/', { used: 99 * GIB, free: 1 * GIB }),
    memoryCheck({ total: 4 * GIB, available: GIB / 4 }),
    clockCheck({ skewSeconds: -40, synchronised: true, notBefore: now, now }),
    clockCheck({ skewSeconds: 0, synchronised: false, notBefore: now, now }),
    clockCheck({ skewSeconds: 0, synchronised: true, notBefore: new Date(now.getTime() + 1), now }),
    networkCheck('10.128.0.0/14', { ...pool, used: 10 }),
    ...capacityChecks([room('warn', 0.8), room('bad', 1)]),
    networkCheck('10.128.0.0/14', { ...pool, routes: [{ interface: 'tun0', base: 0x0a800000, prefix: 16 }] }),
    firewallCheck('a', 'b'),
    firewallCheck(null, 'b'),
    processCheck(['agent'], {}),
    processCheck([], { api: 9 }),
    healthCheck('agent', ['releases: none is ready']),
    healthCheck('worker', null),
    portalCheck('https://x', null, 'refused'),
    portCheck(443, 'foreign'),
    portCheck(443, 'silent'),
  ];
  expect(good.map(({ state, todo }) => [state, todo])).toEqual(good.map(() => ['ok', undefined]));
  for (const check of poor) {
    expect(check.state).not.toBe('ok');
    expect(check.todo).toBeTruthy();
  }
});

it('tells a database away from a portal away', () => {
  expect(portalCheck('https://x', 503, '').todo).toContain('database');
  expect(portalCheck('https://x', 502, '').todo).not.toContain('database');
});

it('grades a certificate by the days left', async () => {
  const authority = await createAuthority(['aviary.localhost'], now);
  const { certificate } = await issueLeaf(authority, ['aviary.localhost'], now);
  const after = (days: number): Date => new Date(now.getTime() + days * 86_400_000);
  expect(certificateCheck('portal', certificate, now).state).toBe('ok');
  expect(certificateCheck('portal', certificate, after(385)).state).toBe('warn');
  expect(certificateCheck('portal', certificate, after(394)).state).toBe('bad');
  expect(certificateCheck('portal', certificate, after(500)).says).toMatch(/^ended on/);
  expect(certificateCheck('portal', null, now).state).toBe('bad');
});
