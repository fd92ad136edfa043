import type { Database } from '#libs/db';

interface Column {
  name: string;
  type: string;
  needed: boolean;
  /** Of a foreign key over this column alone: the table it leads to, and the column there. */
  leadsTo: { table: string; column: string } | null;
  /** Where a check lists what it may have. */
  words: string[] | null;
}

interface Table {
  name: string;
  columns: Column[];
}

const VALUES: Readonly<Record<string, (at: number, what: string) => unknown>> = {
  uuid: (at) => `00000000-0000-4000-8000-${String(at).padStart(12, '0')}`,
  text: (at, what) => `${what}-${at}`,
  'timestamp with time zone': (at) => new Date(Date.UTC(2026, 0, 1 + (at % 300))),
  date: () => '2026-01-01',
  integer: (at) => 1 + at,
  bigint: (at) => 1 + at,
  'double precision': () => 0.5,
  boolean: () => true,
  jsonb: (at) => JSON.stringify({ at }),
  bytea: (at) => Buffer.from([1, at % 256]),
  'integer[]': () => [0],
  'text[]': () => ['one'],
};

/** What a rule asks of a column and no type or list says. */
const SPECIAL: Readonly<Record<string, (at: number) => unknown>> = {
  // Ended: of what is open there is one of a stack at most, and a way back refuses it.
  'tenants.slug': (at) => `u${'abcdefghijklmnopqrstuvwxyz234567'.charAt(at % 32).repeat(6)}`,
  'operations.state': () => 'done',
  'portal_backups.state': () => 'verified',
  'exports.state': () => 'sent',
  'rollouts.state': () => 'done',
  'data_keys.owner': (at) => VALUES['uuid']?.(at, ''),
};

/**
 * Puts rows into every table as its owner: as many as a check of one of its columns lists words, so that each word
 * occurs, with every column filled. Throws where a table stays empty; gives by table how many it has.
 */
export async function fillDatabase(database: Database): Promise<Map<string, number>> {
  const left = await tables(database);
  const filled = new Map<string, number>();
  while (left.length > 0) {
    const next = left.findIndex(({ name, columns }) =>
      columns.every(({ leadsTo }) => leadsTo === null || leadsTo.table === name || filled.has(leadsTo.table)),
    );
    const [table] = left.splice(next, next < 0 ? 0 : 1);
    if (!table) {
      throw new Error(`These tables lead to each other in a circle: ${left.map(({ name }) => name).join(', ')}`);
    }
    filled.set(table.name, await fillTable(database, table));
  }
  return filled;
}

async function fillTable(database: Database, table: Table): Promise<number> {
  const wanted = Math.max(2, ...table.columns.map(({ words }) => words?.length ?? 0));
  let refusal: unknown;
  for (let at = 0; at < wanted; at += 1) {
    await insert(database, table, at).catch((error: unknown) => {
      refusal = error;
    });
  }
  const [{ rows } = { rows: 0 }] = await database.query<{ rows: number }[]>(
    `select count(*)::int as rows from "${table.name}"`,
  );
  if (rows === 0) {
    const why = refusal instanceof Error ? refusal.message : String(refusal);
    throw new Error(`${table.name} takes no row; tell what it asks for in filled-database.ts: ${why}`);
  }
  return rows;
}

async function insert(database: Database, { name, columns }: Table, at: number): Promise<void> {
  const values: unknown[] = [];
  for (const column of columns) {
    values.push(await valueOf(database, { table: name, column, at }));
  }
  const names = columns.map((column) => `"${column.name}"`).join(', ');
  await database.query(
    `insert into "${name}" (${names}) values (${columns.map((_, index) => `$${index + 1}`).join(', ')})`,
    values,
  );
}

async function valueOf(
  database: Database,
  { table, column, at }: { table: string; column: Column; at: number },
): Promise<unknown> {
  const special = SPECIAL[`${table}.${column.name}`];
  if (special) {
    return special(at);
  }
  if (column.leadsTo !== null) {
    const { table: to, column: key } = column.leadsTo;
    const rows: { value: unknown }[] = await database.query(
      `select "${key}" as value from "${to}" order by 1 offset $1 % greatest((select count(*) from "${to}"), 1) limit 1`,
      [at],
    );
    return rows[0]?.value ?? null;
  }
  if (column.words !== null) {
    return column.words[at % column.words.length];
  }
  const make = VALUES[column.type];
  if (!make) {
    throw new Error(`No value is known for ${table}.${column.name}, a ${column.type}`);
  }
  return make(at, column.name.replaceAll('_', '-'));
}

async function tables(database: Database): Promise<Table[]> {
  const columns: { table: string; name: string; type: string; needed: boolean }[] = await database.query(
    `select pg_class.relname as table, attname as name, format_type(atttypid, atttypmod) as type, attnotnull as needed
       from pg_attribute join pg_class on pg_class.oid = attrelid join pg_namespace on pg_namespace.oid = relnamespace
      where nspname = 'public' and relkind = 'r' and attnum > 0 and not attisdropped and attgenerated = ''
        and attidentity <> 'a' and relname <> 'migrations'
      order by pg_class.relname, attnum`,
  );
  const keys: { from: string; column: string; to: string; key: string }[] = await database.query(
    `select source.relname as from, own.attname as column, target.relname as to, theirs.attname as key
       from pg_constraint
       join pg_class source on source.oid = conrelid join pg_class target on target.oid = confrelid
       join pg_attribute own on own.attrelid = conrelid and own.attnum = conkey[1]
       join pg_attribute theirs on theirs.attrelid = confrelid and theirs.attnum = confkey[1]
      where contype = 'f' and cardinality(conkey) = 1`,
  );
  const checks: { table: string; rule: string }[] = await database.query(
    `select relname as table, pg_get_constraintdef(pg_constraint.oid) as rule
       from pg_constraint join pg_class on pg_class.oid = conrelid where contype = 'c'`,
  );
  const byName = Map.groupBy(columns, ({ table }) => table);
  return [...byName].map(([table, found]) => ({
    name: table,
    columns: found.map(({ name, type, needed }) => {
      const key = keys.find(({ from, column }) => from === table && column === name);
      return {
        name,
        type,
        needed,
        leadsTo: key ? { table: key.to, column: key.key } : null,
        words: listed(
          checks.filter((check) => check.table === table).map(({ rule }) => rule),
          name,
        ),
      };
    }),
  }));
}

/** `CHECK ((kind = ANY (ARRAY['start'::text, 'stop'::text])))` → start, stop. */
function listed(rules: readonly string[], column: string): string[] | null {
  for (const rule of rules) {
    const list = new RegExp(`^CHECK \\(\\(${column} = ANY \\(ARRAY\\[(.*)\\]\\)\\)\\)$`).exec(rule)?.[1];
    if (list !== undefined) {
      return list.split(', ').map((word) => word.replace(/::.*$/, '').replaceAll("'", ''));
    }
    const only = new RegExp(`^CHECK \\(\\(${column} = '([^']*)'::text\\)\\)$`).exec(rule)?.[1];
    if (only !== undefined) {
      return [only];
    }
  }
  return null;
}
