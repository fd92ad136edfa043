import fc from 'fast-check';
import { memoryGrowth, usageAlerts, type MemorySample } from './usage.js';

const limits = { cpus: 2, memoryBytes: 1_000, diskBytes: 10_000 };
const use = { cpu: 0.1, memoryBytes: 100, diskBytes: 100 };
const service = (memoryBytes: number, memoryLimitBytes: number | null) => ({
  service: 'runtime',
  cpu: 0.1,
  memoryBytes,
  memoryLimitBytes,
  oomKills: 0,
  pids: 1,
});

describe('what is near its limit', () => {
  it('is quiet below 80 %, warns from there and is bad from 95 %', () => {
    const at = (memoryBytes: number) => usageAlerts({ ...use, memoryBytes }, limits);
    expect(at(799)).toEqual([]);
    expect(at(800)).toEqual([{ resource: 'memory', level: 'warn', percent: 80, service: null }]);
    expect(at(949)).toMatchObject([{ level: 'warn', percent: 94 }]);
    expect(at(950)).toMatchObject([{ level: 'bad', percent: 95 }]);
  });

  it('holds a service against its own limit, although the stack has room', () => {
    expect(usageAlerts(use, limits, [service(390, 400)])).toEqual([
      { resource: 'memory', level: 'bad', percent: 97, service: 'runtime' },
    ]);
    expect(usageAlerts(use, limits, [service(390, null)])).toEqual([]);
  });

  it('says nothing of what was not measured, and the worst first', () => {
    expect(usageAlerts({ cpu: null, memoryBytes: 0, diskBytes: null }, limits)).toEqual([]);
    expect(usageAlerts({ cpu: 1.9, memoryBytes: 810, diskBytes: 9_000 }, limits).map(({ percent }) => percent)).toEqual(
      [95, 90, 81],
    );
  });
});

const MINUTE = 60_000;
const series = (minutes: number, bytes: (minute: number) => number): MemorySample[] =>
  Array.from({ length: minutes }, (_unused, minute) => ({ at: minute * MINUTE, bytes: bytes(minute) }));

describe('memory that only grows', () => {
  const MIB = 1024 ** 2;

  it('FM-30 tells a leak, its pace and when it meets the limit', () => {
    // 60 MiB an hour from 200 MiB on: after three hours 380 MiB, 132 below the limit
    const leak = series(181, (minute) => (200 + minute) * MIB);
    expect(memoryGrowth('runtime', leak, 512 * MIB)).toEqual({
      service: 'runtime',
      bytesPerHour: 60 * MIB,
      hoursLeft: 2.2,
    });
  });

  it('FM-30 still tells it below the movement of a garbage collector', () => {
    const leak = series(240, (minute) => (200 + minute + (minute % 10) * 2) * MIB);
    expect(memoryGrowth('runtime', leak, 900 * MIB)?.bytesPerHour).toBeGreaterThan(55 * MIB);
  });

  it('is quiet about a process that fills and empties, stands still, shrinks, or has just started', () => {
    const limit = 512 * MIB;
    expect(
      memoryGrowth(
        'runtime',
        series(240, (minute) => (200 + (minute % 60)) * MIB),
        limit,
      ),
    ).toBeNull();
    expect(
      memoryGrowth(
        'runtime',
        series(240, () => 200 * MIB),
        limit,
      ),
    ).toBeNull();
    expect(
      memoryGrowth(
        'runtime',
        series(240, (minute) => (500 - minute) * MIB),
        limit,
      ),
    ).toBeNull();
    expect(
      memoryGrowth(
        'runtime',
        series(100, (minute) => (200 + minute) * MIB),
        limit,
      ),
    ).toBeNull();
  });

  it('is quiet where the limit is far away, or there is none', () => {
    const slow = series(360, (minute) => (200 + minute / 60) * MIB);
    expect(memoryGrowth('runtime', slow, 512 * MIB)).toBeNull();
    expect(
      memoryGrowth(
        'runtime',
        series(181, (minute) => (200 + minute) * MIB),
        null,
      ),
    ).toBeNull();
  });

  it('finds every straight line within a day of its limit, at its pace', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 130, max: 360 }), (pace, minutes) => {
        const line = series(minutes, (minute) => (100 + (pace * minute) / 60) * MIB);
        const last = line.at(-1)?.bytes ?? 0;
        const found = memoryGrowth('runtime', line, last + pace * MIB * 23);
        expect(found?.bytesPerHour).toBe(pace * MIB);
        expect(found?.hoursLeft).toBeCloseTo(23, 1);
        expect(memoryGrowth('runtime', line, last + pace * MIB * 25)).toBeNull();
      }),
    );
  });
});
