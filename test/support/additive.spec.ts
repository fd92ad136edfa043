import { MIGRATIONS } from '../../libs/db/src/migrations/index.js';
import { allowedWords, notAdditive, statementsOf } from './additive.js';

/** In the order they run in. */
const migrations = MIGRATIONS.map((Migration) => new Migration()).toSorted(
  (a, b) => Number(a.name.slice(-13)) - Number(b.name.slice(-13)),
);

/** Landed before any version could have been broken by it: only what it came with makes operations that share. */
const KNOWN: Readonly<Record<string, string[]>> = {
  Backups1763700000019: ['operations_one_shared may refuse what the version before writes'],
};

describe.each(migrations.map((migration) => [migration.name, migration] as const))('%s', (name, migration) => {
  it('leaves the version before all it reads and writes', async () => {
    expect(notAdditive(await statementsOf(migration, 'up'))).toEqual(KNOWN[name] ?? []);
  });

  it.each(['up', 'down'] as const)('waits for no lock for long before it changes anything (%s)', async (way) => {
    const changes = (await statementsOf(migration, way)).filter((statement) => !/^\s*select\s/i.test(statement));
    expect(changes[0]).toMatch(/^set local lock_timeout = '\d+s'$/);
  });
});

it('a word that a column may have stays one', async () => {
  const known = new Map<string, Set<string>>();
  const lost: string[] = [];
  for (const migration of migrations) {
    for (const [constraint, words] of allowedWords(await statementsOf(migration, 'up'))) {
      const gone = [...(known.get(constraint) ?? [])].filter((word) => !words.has(word));
      lost.push(...gone.map((word) => `${migration.name}: ${constraint} takes ${word} no more`));
      known.set(constraint, words);
    }
  }
  expect(lost).toEqual([]);
  expect(known.get('operations_kind')?.has('prune')).toBe(true);
});

describe('what is not additive', () => {
  it.each([
    ['drop table tenants', 'not known to be additive: drop table tenants'],
    ['alter table tenants drop column slug', 'tenants: not known to be additive: drop column slug'],
    ['alter table tenants rename to stacks', 'tenants: not known to be additive: rename to stacks'],
    [
      'alter table tenants alter column slug set not null',
      'tenants: not known to be additive: alter column slug set not null',
    ],
    [
      'alter table tenants alter column slug type uuid',
      'tenants: not known to be additive: alter column slug type uuid',
    ],
    [
      'alter table tenants add column note text not null',
      'tenants.note has to be given, and the version before does not know it',
    ],
    ['alter table tenants drop constraint tenants_slug', 'tenants loses the constraint tenants_slug for good'],
    [
      'alter table tenants add constraint short check (length(slug) < 3)',
      'short may refuse what the version before writes',
    ],
    ['create unique index one on tenants (slug)', 'one may refuse what the version before writes'],
    ['delete from tenants', 'not known to be additive: delete from tenants'],
    ['drop index tenants_slug', 'not known to be additive: drop index tenants_slug'],
  ])('%s', (statement, says) => {
    expect(notAdditive([statement])).toEqual([says]);
  });

  it('is not what a migration does with what it made itself, or makes wider', () => {
    expect(
      notAdditive([
        `create table notes (id uuid not null)`,
        `alter table notes add column text text not null, drop column id`,
        `create unique index notes_text on notes (text)`,
        `alter table tenants add column note text, add column at timestamptz not null default now(),
           add constraint note_short check (length(note) < 3)`,
        `create unique index tenants_note on tenants (note) where note is not null`,
        `alter table tenants drop constraint state`,
        `alter table tenants add constraint state check (state in ('a', 'b'))`,
        `alter table tenants alter column slug drop not null`,
        `update tenants set note = 'a, b'`,
      ]),
    ).toEqual([]);
  });
});
