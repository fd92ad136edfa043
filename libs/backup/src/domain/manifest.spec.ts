import { differences } from './manifest.js';

const table = (name: string, rows: number, schema = 'public') => ({ schema, name, rows });

it('FM-22 a table that is missing, too many, or has other rows is named', () => {
  const expected = [table('bots', 3), table('fills', 10), table('fills', 7, 'archive')];
  expect(differences(expected, expected.toReversed())).toEqual([]);
  expect(differences(expected, [table('fills', 9), table('fills', 7, 'archive'), table('extra', 0)])).toEqual([
    'public.bots is missing',
    'public.fills has 9 rows instead of 10',
    'public.extra is too many',
  ]);
  expect(differences([], [])).toEqual([]);
  // As many rows are not yet the same ones; what was never summed up is compared by number.
  const summed = { ...table('bots', 3), figure: '-17' };
  expect(differences([summed], [{ ...summed, figure: '4' }])).toEqual(['public.bots has other rows']);
  expect(differences([summed], [summed])).toEqual([]);
  expect(differences([table('bots', 3)], [summed])).toEqual([]);
});
