import { DomainError } from '#libs/contracts';
import { documentOf, failureOf } from './host-answer.js';
import { wishOf } from './recover-options.js';
import { Refusal } from './talk.js';

it('takes what it knows, in both ways of writing', () => {
  expect(wishOf(['--backup', 'b', '--confirm=p', '--without=X', '--without', 'Y', '--json'])).toEqual({
    json: true,
    confirm: 'p',
    backup: 'b',
    without: ['X', 'Y'],
    dryRun: false,
    list: false,
    oldHostIsOff: false,
  });
  expect(wishOf(['--dry-run', '--confirm', 'p'])).toMatchObject({ dryRun: true, confirm: 'p' });
  expect(wishOf(['--old-host-is-off', '--confirm', 'p'])).toMatchObject({ oldHostIsOff: true, confirm: 'p' });
});

it.each([
  ['--dryrun', '--confirm=p'],
  ['--confirm'],
  ['--backup=b', 'p'],
  ['--dry-run=yes'],
  ['--yes'],
  ['--confirm', '--json'],
])('refuses %s, and does nothing', (...args) => {
  expect(() => wishOf(args)).toThrow('Nothing was done; usage: aviary recover');
});

it('tells every failure as one document, by a code that fits how it ends', () => {
  const told = (error: unknown): unknown => JSON.parse(documentOf('aviary/recover/1', null, failureOf(error)));
  expect(told(new Error('spawn docker ENOENT'))).toMatchObject({
    schema: 'aviary/recover/1',
    ok: false,
    data: null,
    exit: 1,
    error: { code: 'INTERNAL', message: 'spawn docker ENOENT', hint: null },
  });
  const codes = [2, 5, 8].map((exit) => failureOf(new Refusal(['One.', 'Two.'], exit)));
  expect(codes.map(({ code, exit }) => [code, exit])).toEqual([
    ['CONFIG_INVALID', 2],
    ['WRONG_STATE', 5],
    ['UNAVAILABLE', 8],
  ]);
  const lacking = new DomainError('CONFIG_INVALID', { message: 'No key.', details: { missing: ['X'] } });
  expect(told(lacking)).toMatchObject({ exit: 2, error: { message: 'No key.', details: { missing: ['X'] } } });
  expect(JSON.parse(documentOf('aviary/recover/1', { id: 1 }, null))).toMatchObject({
    ok: true,
    data: { id: 1 },
    error: null,
    exit: 0,
  });
});
