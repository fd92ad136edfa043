import { MIGRATIONS } from './migrations.js';

/** Before the first release that could be gone back to, or known not to be missed by what came before. */
const LANDED = ["delete from settings where key = 'kept'"];

const COLUMN = /^add column \w+ [^,]+$/;
const ADDS = [/^create table \w+ \(/, /^create index \w+ on \w+ /, /^insert into /, /^update /];

/** Whether the runtime of the release before works on with what the statement leaves: it reads and writes by its old names. */
function isAdditive(statement: string): boolean {
  const text = statement.replaceAll(/\s+/g, ' ').trim();
  const [, columns] = /^alter table \w+ (.+)$/.exec(text) ?? [];
  if (columns === undefined) {
    return ADDS.some((allowed) => allowed.test(text));
  }
  // Its rows lack the column.
  return columns
    .split(/, (?=add |drop |alter |rename )/)
    .every((one) => COLUMN.test(one) && (!one.includes('not null') || one.includes(' default ')));
}

const statementsOf = (up: string): string[] => up.split(';').filter((statement) => statement.trim() !== '');

it.each(MIGRATIONS.slice(1).flatMap(({ name, up }) => statementsOf(up).map((statement) => [name, statement.trim()])))(
  'FM-18 %s adds and takes nothing away, so that the release before runs on its schema: %s',
  (_name, statement) => {
    expect(isAdditive(statement) || LANDED.includes(statement)).toBe(true);
  },
);

it.each([
  'alter table bots drop column name',
  'alter table bots rename column name to title',
  'alter table bots alter column name type varchar(10)',
  'alter table bots add column size int not null',
  'alter table bots add column size int, drop column name',
  'alter table bots add constraint named check (name is not null)',
  'create unique index one_name on bots (name)',
  'drop table outbox',
])('takes %s for what it is', (statement) => {
  expect(isAdditive(statement)).toBe(false);
});

it('knows additions', () => {
  expect(isAdditive('alter table bots add column size int not null default 0,\n  add column more jsonb')).toBe(true);
});
