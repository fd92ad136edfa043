import { DefaultNamingStrategy, type Table } from 'typeorm';

const snake = (name: string): string =>
  name
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replace(/([A-Z]+)([A-Z][a-z])/g, '$1_$2')
    .toLowerCase();

const tableOf = (table: Table | string): string => {
  const name = typeof table === 'string' ? table : table.name;
  return name.slice(name.lastIndexOf('.') + 1);
};

/** PostgreSQL cuts names at 63 bytes in silence, and a cut name would read as a schema difference for ever. */
const named = (kind: string, table: Table | string, columns: readonly string[]): string => {
  const name = [kind, tableOf(table), ...columns.map(snake)].join('_');
  if (name.length > 63) {
    throw new Error(`The name ${name} is longer than 63 characters: give the constraint a name of its own`);
  }
  return name;
};

/** camelCase property → snake_case column; constraints are named by what they are: pk_, fk_, uq_, ix_, ck_. */
export class PlainNamingStrategy extends DefaultNamingStrategy {
  override tableName(target: string, userSpecified: string | undefined): string {
    return userSpecified ?? snake(target);
  }
  override columnName(property: string, custom: string | undefined, prefixes: string[]): string {
    return [...prefixes.map(snake), custom ?? snake(property)].join('_');
  }
  override primaryKeyName(table: Table | string): string {
    return named('pk', table, []);
  }
  override uniqueConstraintName(table: Table | string, columns: string[]): string {
    return named('uq', table, columns);
  }
  override foreignKeyName(table: Table | string, columns: string[]): string {
    return named('fk', table, columns);
  }
  override indexName(table: Table | string, columns: string[]): string {
    return named('ix', table, columns);
  }
}
