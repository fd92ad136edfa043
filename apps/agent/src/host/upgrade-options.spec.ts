import { upgradeWishOf, USAGE } from './upgrade-options.js';

it('an upgrade is what was asked for', () => {
  const usual = { json: false, dryRun: false, back: false, withinMs: 180_000, stayMs: 30_000 };
  expect(upgradeWishOf([])).toEqual(usual);
  expect(upgradeWishOf(['--json', '--dry-run'])).toEqual({ ...usual, json: true, dryRun: true });
  expect(upgradeWishOf(['--back', '--within=30'])).toEqual({ ...usual, back: true, withinMs: 30_000 });
  expect(upgradeWishOf(['--stay', '5'])).toEqual({ ...usual, stayMs: 5_000 });
});

it.each([
  [['--dryrun']],
  [['--dry-run=yes']],
  [['now']],
  [['--within', '0']],
  [['--within', '-5']],
  [['--within', '1e3']],
  [['--within', '3601']],
  [['--stay', '0']],
  [['--stay', 'long']],
  [['--dry-run', '--back']],
])('%j is refused, and nothing is done', (args) => {
  expect(() => upgradeWishOf(args)).toThrow(
    expect.objectContaining({
      code: 'VALIDATION_FAILED',
      message: expect.stringContaining(`Nothing was done; ${USAGE}`),
    }),
  );
});
