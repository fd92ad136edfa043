import type { MIGRATIONS } from '../../libs/db/src/migrations/index.js';

type Migration = InstanceType<(typeof MIGRATIONS)[number]>;

/**
 * What of a migration's `up` the version before it could not live with. While a deploy rolls, and after one that went
 * back, old code runs on the new schema: it must find each of its tables and columns, and whatever it wrote so far must
 * be accepted. Gives a sentence for each statement that may break that; what is not known to be additive is named too.
 */
export function notAdditive(statements: readonly string[]): string[] {
  const made = new Made();
  const all = statements.map(plain);
  const later = all.join('\n');
  return all.flatMap((statement) => {
    const alter = /^alter table (?:only )?(\w+) (.*)$/.exec(statement);
    if (alter !== null) {
      const [, table = '', actions = ''] = alter;
      return made.has(table) ? [] : parts(actions).flatMap((action) => alteration(action, { table, made, later }));
    }
    return other(statement, made);
  });
}

/** Names of what a migration itself makes: of that the version before knows nothing. */
class Made {
  private readonly names = new Set<string>();

  add(name: string): void {
    this.names.add(name);
  }

  has(name: string): boolean {
    return this.names.has(name);
  }

  /** Whether the text names a column of the table that is new; columns that are not there yet held nothing. */
  columnIn(table: string, text: string): boolean {
    return [...text.matchAll(/\w+/g)].some(([word]) => this.names.has(`${table}.${word}`));
  }
}

interface Around {
  table: string;
  made: Made;
  /** All statements of the migration. */
  later: string;
}

function alteration(action: string, { table, made, later }: Around): string[] {
  const column = /^add column (?:if not exists )?(\w+) (.*)$/.exec(action);
  if (column !== null) {
    const [, name = '', definition = ''] = column;
    made.add(`${table}.${name}`);
    return / not null\b/.test(definition) && !/ default /.test(definition)
      ? [`${table}.${name} has to be given, and the version before does not know it`]
      : [];
  }
  const dropped = /^drop constraint (\w+)$/.exec(action)?.[1];
  if (dropped !== undefined) {
    made.add(dropped);
    return new RegExp(`(add constraint|create unique index) ${dropped} `).test(later)
      ? []
      : [`${table} loses the constraint ${dropped} for good`];
  }
  const added = /^add constraint (\w+) (.*)$/.exec(action);
  if (added !== null) {
    const [, name = '', rule = ''] = added;
    return made.has(name) || made.columnIn(table, rule) ? [] : [`${name} may refuse what the version before writes`];
  }
  return /^alter column \w+ (drop not null|set default )/.test(action)
    ? []
    : [`${table}: not known to be additive: ${action}`];
}

function other(statement: string, made: Made): string[] {
  const table = /^create table (?:if not exists )?(\w+) /.exec(statement)?.[1];
  if (table !== undefined) {
    made.add(table);
    return [];
  }
  const unique = /^create unique index (\w+) on (\w+) (.*)$/.exec(statement);
  if (unique !== null) {
    const [, name = '', on = '', rule = ''] = unique;
    return made.has(on) || made.has(name) || made.columnIn(on, rule)
      ? []
      : [`${name} may refuse what the version before writes`];
  }
  return /^(create index|create (or replace )?function|create trigger|insert into|update|select|set local) /.test(
    statement,
  )
    ? []
    : [`not known to be additive: ${statement.slice(0, 80)}`];
}

const plain = (statement: string): string =>
  statement
    .replaceAll(/^\s*--.*$/gm, '')
    .replaceAll(/\s+/g, ' ')
    .trim()
    .toLowerCase();

/** What an `alter table` lists, split at the commas that stand in no parentheses and no text. */
function parts(actions: string): string[] {
  const found: string[] = [];
  let [depth, from, quoted] = [0, 0, false];
  for (let at = 0; at < actions.length; at += 1) {
    const char = actions.charAt(at);
    if (char === "'") {
      quoted = !quoted;
    } else if (!quoted && char === ',' && depth === 0) {
      found.push(actions.slice(from, at).trim());
      from = at + 1;
    } else if (!quoted) {
      depth += Number(char === '(') - Number(char === ')');
    }
  }
  return [...found, actions.slice(from).trim()];
}

/** By constraint, the words that columns may have: `check (kind in ('start', 'stop'))`. */
export function allowedWords(statements: readonly string[]): Map<string, Set<string>> {
  return new Map(
    statements
      .map(plain)
      .flatMap((statement) => [...statement.matchAll(/constraint (\w+) check \(\w+ in \(([^()]*)\)\)/g)])
      .map(([, name = '', words = '']) => [
        name,
        new Set([...words.matchAll(/'([^']*)'/g)].map(([, word = '']) => word)),
      ]),
  );
}

/** The statements of one way, as they are sent. Nothing is run; what asks finds no rows. */
export async function statementsOf(migration: Migration, way: 'up' | 'down'): Promise<string[]> {
  const sent: string[] = [];
  const query = (statement: string): Promise<unknown[]> => {
    sent.push(statement);
    return Promise.resolve([]);
  };
  await migration[way]({ query } as unknown as Parameters<Migration['up']>[0]);
  return sent;
}
