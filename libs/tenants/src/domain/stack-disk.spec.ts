import { diskWarning, isDiskNear, stackDiskLevel, type DiskLevel } from './stack-disk.js';

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
