import { diskWarning, hostDiskWarning, isDiskNear, isHostFull, stackDiskLevel, type DiskLevel } from './stack-disk.js';

const GIB = 1024 ** 3;
const use = (percent: number) => ({ usedBytes: (percent / 100) * 5 * GIB, limitGb: 5 });

it.each<[DiskLevel, [number, DiskLevel][]]>([
  [
    'ok',
    [
      [89.9, 'ok'],
      [90, 'warn'],
      [94.9, 'warn'],
      [95, 'full'],
      [130, 'full'],
    ],
  ],
  [
    'warn',
    [
      [84.9, 'ok'],
      [85, 'warn'],
      [94.9, 'warn'],
      [95, 'full'],
    ],
  ],
  [
    'full',
    [
      [84.9, 'ok'],
      [85, 'warn'],
      [89.9, 'warn'],
      [90, 'full'],
      [95, 'full'],
    ],
  ],
])('FM-27 a disk that was %s changes its level late enough not to flap', (before, steps) => {
  expect(steps.map(([percent]) => [percent, stackDiskLevel(use(percent), before)])).toEqual(steps);
});

it('FM-27 is measured more often from 80 % on, and says no more per cent than there are', () => {
  expect([79.9, 80].map((percent) => isDiskNear(use(percent)))).toEqual([false, true]);
  expect(diskWarning('warn', use(94.99))).toMatchObject({
    code: 'DISK_NEARLY_FULL',
    params: { percent: 94, used: '4.75', limit: '5' },
  });
  expect(diskWarning('full', use(95)).message).toContain('uses 95 % of the disk of its plan (4.75 of 5 GiB)');
});

it('FM-27 a host is full below what must stay free, and no more half a GiB above it', () => {
  const host = (freeMb: number) => ({ totalMb: 100_000, freeMb, floorMb: 2_048 });
  expect([2_047, 2_048].map((free) => isHostFull(host(free), false))).toEqual([true, false]);
  expect([2_559, 2_560].map((free) => isHostFull(host(free), true))).toEqual([true, false]);
  expect(hostDiskWarning(host(2_047))).toMatchObject({ params: { percent: 97, free: '1.99', floor: '2.00' } });
  expect(hostDiskWarning(host(2_047)).message).toContain('It is the host, not the plan of the stack');
});
