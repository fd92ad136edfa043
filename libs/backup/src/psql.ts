import { randomUUID } from 'node:crypto';
import { createInterface, type Interface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { DomainError } from '#libs/contracts';
import type { EngineStreams, ExecStreams, Owner } from '#libs/engine';
import type { TableCount } from './domain/manifest.js';

/** A database in a container, spoken to over the container's own socket: no network and no password have a part in it. */
export interface ContainerDatabase {
  container: string;
  owner: Owner;
  /** `uid:gid` of the server. */
  account: string;
  user: string;
  database: string;
}

/** As sessions call themselves from their first moment: whose engine dies then is never told what to do, nor to end. */
export const SESSION = 'aviary-backup';

/**
 * One session of psql in a container. What a statement throws ends it. Statements are ours; what comes out of the
 * customer's own catalogue (any name is legal there) comes as JSON and goes in again quoted by the server.
 */
export class PsqlSession {
  private readonly lines: Interface;
  private readonly iterator: AsyncIterator<string>;

  private constructor(private readonly streams: ExecStreams) {
    this.lines = createInterface({ input: streams.output });
    this.iterator = this.lines[Symbol.asyncIterator]();
  }

  static async open(engine: EngineStreams, place: ContainerDatabase, signal: AbortSignal): Promise<PsqlSession> {
    const command = ['psql', '-qAtX', '-v', 'ON_ERROR_STOP=1', '-v', 'VERBOSITY=terse', '-U', place.user];
    const streams = await engine.exec(
      place.container,
      place.owner,
      { command: [...command, '-d', place.database], user: place.account, environment: { PGAPPNAME: SESSION } },
      signal,
    );
    return new PsqlSession(streams);
  }

  /** Lines of what it answers: as many as rows where each is one column of one line. */
  async query(statement: string): Promise<string[]> {
    // psql says when it came to this line; of a failed statement it never does.
    const mark = `done ${randomUUID()}`;
    this.streams.input.write(`${statement};\n\\echo ${mark}\n`);
    const rows: string[] = [];
    for (;;) {
      const { done, value } = await this.iterator.next();
      if (done === true) {
        const { exitCode, said } = await this.streams.ended;
        throw new DomainError('BACKUP_FAILED', {
          message: `The database said: ${said || `psql ended with ${exitCode}`}.`,
          details: { why: 'database' },
        });
      }
      if (value === mark) {
        return rows;
      }
      rows.push(value);
    }
  }

  async one(statement: string): Promise<string> {
    const [value] = await this.query(statement);
    if (value === undefined) {
      throw new DomainError('BACKUP_FAILED', { message: 'The database answered nothing where a row belongs.' });
    }
    return value;
  }

  async close(): Promise<void> {
    this.streams.input.end('\\q\n');
    this.lines.close();
    this.streams.output.resume();
    await this.streams.ended;
  }
}

const tableSchema = z.tuple([z.string(), z.string(), z.string(), z.int()]);

/** A table of the customer's; `quoted` is how it is named in a statement, `blocks` how many its file has. */
export interface TableName {
  schema: string;
  name: string;
  quoted: string;
  blocks: number;
}

/** Rows are compared as text, so what it depends on is the same wherever they are read. */
const SAME_TEXT = [
  `set datestyle = 'ISO, YMD'`,
  `set intervalstyle = 'iso_8601'`,
  `set timezone = 'UTC'`,
  `set extra_float_digits = 1`,
  `set bytea_output = 'hex'`,
  `set xmloption = 'content'`,
  `set lc_monetary = 'C'`,
  `set search_path = ''`,
];

/** Every plain table that is not the server's own, by this session's view of the data; the smallest first. */
export async function tablesOf(session: PsqlSession): Promise<TableName[]> {
  const tables = await session.query(
    `select json_build_array(n.nspname, c.relname, format('%I.%I', n.nspname, c.relname),
                             pg_relation_size(c.oid) / current_setting('block_size')::int)
       from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where c.relkind = 'r' and c.relpersistence <> 't'
        and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
      order by pg_relation_size(c.oid), n.nspname, c.relname`,
  );
  for (const statement of SAME_TEXT) {
    await session.query(statement);
  }
  return tables.map((table) => {
    const [schema, name, quoted, blocks] = tableSchema.parse(JSON.parse(table));
    return { schema, name, quoted, blocks };
  });
}

/** How many rows it has. Only of a table that `tablesOf` gave. */
async function countRows(session: PsqlSession, { schema, name, quoted }: TableName): Promise<TableCount> {
  return { schema, name, rows: Number(await session.one(`select count(*) from only ${quoted}`)) };
}

/** Counted at a time where something else is to go on: 64 MiB, some tens of milliseconds. */
const SLICE_BLOCKS = 8_192;
/** From there to the next slice, in times of what the last one took. */
const RESTS = 3;

/**
 * The same, without taking all that a stack's database may have of the processors: what is dumped of it meanwhile would
 * wait for that. In a transaction whose view of the data stays.
 */
async function countAside(session: PsqlSession, table: TableName): Promise<TableCount> {
  const { schema, name, quoted, blocks } = table;
  if (blocks <= SLICE_BLOCKS) {
    return countRows(session, table);
  }
  let rows = 0;
  for (let from = 0; from < blocks; from += SLICE_BLOCKS) {
    const to = from + SLICE_BLOCKS;
    const began = performance.now();
    // What was appended since is not seen, wherever it lies.
    const before = to < blocks ? ` and ctid < '(${to},0)'` : '';
    rows += Number(await session.one(`select count(*) from only ${quoted} where ctid >= '(${from},0)'${before}`));
    await pause((performance.now() - began) * RESTS);
  }
  return { schema, name, rows };
}

/** Its rows by number and by content, whatever their order. Only of a table that `tablesOf` gave. */
export async function readTable(
  session: PsqlSession,
  { schema, name, quoted }: TableName,
): Promise<Required<TableCount>> {
  const read = await session.one(
    `select json_build_array(count(*), coalesce(sum(hashtextextended(aviary_row::text, 0)), 0)::text)
       from only ${quoted} aviary_row`,
  );
  const [rows, figure] = z.tuple([z.int(), z.string()]).parse(JSON.parse(read));
  return { schema, name, rows, figure };
}

/** All tables by the number of their rows, without reading what is in them. */
export const countTables = (session: PsqlSession): Promise<TableCount[]> => ofAll(session, countRows);

/** The same beside a dump. */
export const countTablesAside = (session: PsqlSession): Promise<TableCount[]> => ofAll(session, countAside);

/** All tables by what is in them: takes several times as long. */
export const readTables = (session: PsqlSession): Promise<Required<TableCount>[]> => ofAll(session, readTable);

async function ofAll<T>(
  session: PsqlSession,
  look: (session: PsqlSession, table: TableName) => Promise<T>,
): Promise<T[]> {
  const found: T[] = [];
  for (const table of await tablesOf(session)) {
    found.push(await look(session, table));
  }
  return found;
}
