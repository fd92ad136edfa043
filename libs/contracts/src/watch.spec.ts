import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ALARM_CODES } from './watch.js';

it('every alarm is in the document for operators, with what it means and what to do, and no other is', () => {
  const text = readFileSync(join(import.meta.dirname, '../../../docs/operate.md'), 'utf8');
  const rows = [...text.matchAll(/^\| alarm (`[^|]+) \| ([^|]{20,}) \| ([^|]{20,}) \|$/gm)];
  const named = rows.flatMap(([, codes = '']) => [...codes.matchAll(/`([A-Z_]+)`/g)].map(([, code]) => code));
  expect(named).toHaveLength(ALARM_CODES.length);
  expect(new Set(named)).toEqual(new Set(ALARM_CODES));
});
