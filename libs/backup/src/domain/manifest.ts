import { z } from 'zod';

const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/);

const tableSchema = z.object({ schema: z.string(), name: z.string(), rows: z.int().min(0) });
export type TableCount = z.infer<typeof tableSchema>;

/** What a backup holds, as it was counted under the dump's own snapshot. It lies in the repository beside the data. */
export const manifestSchema = z.object({
  version: z.literal(1),
  backup: z.uuid(),
  platform: z.string(),
  tenant: z.uuid(),
  slug: z.string(),
  release: z.string(),
  template: z.string(),
  /** Of when the data is. */
  takenAt: z.iso.datetime(),
  databases: z.array(
    z.object({
      service: z.string(),
      user: z.string(),
      database: z.string(),
      /** As the server says it: `17.6 (Debian …)`. */
      server: z.string(),
      part: z.string(),
      /** Bytes it took on disk. */
      size: z.int().min(0).optional(),
      bytes: z.int().min(1),
      sha256: sha256Schema,
      tables: z.array(tableSchema),
    }),
  ),
  volumes: z.array(z.object({ volume: z.string(), part: z.string(), bytes: z.int(), sha256: sha256Schema })),
});
export type Manifest = z.infer<typeof manifestSchema>;
export type DatabaseManifest = Manifest['databases'][number];
export type VolumeManifest = Manifest['volumes'][number];

const keyOf = ({ schema, name }: Pick<TableCount, 'schema' | 'name'>): string => `${schema}.${name}`;

/** Where the tables counted are not those of the manifest, in words; empty where they are. */
export function differences(expected: readonly TableCount[], counted: readonly TableCount[]): string[] {
  const found = new Map(counted.map((table) => [keyOf(table), table.rows]));
  const known = new Set(expected.map(keyOf));
  return [
    ...expected.flatMap((table) => {
      const rows = found.get(keyOf(table));
      if (rows === undefined) {
        return [`${keyOf(table)} is missing`];
      }
      return rows === table.rows ? [] : [`${keyOf(table)} has ${rows} rows instead of ${table.rows}`];
    }),
    ...counted.filter((table) => !known.has(keyOf(table))).map((table) => `${keyOf(table)} is too many`),
  ];
}

export function totals({ databases, volumes }: Manifest): { tables: number; rows: number; bytes: number } {
  const tables = databases.flatMap((database) => database.tables);
  return {
    tables: tables.length,
    rows: tables.reduce((sum, { rows }) => sum + rows, 0),
    bytes: [...databases, ...volumes].reduce((sum, { bytes }) => sum + bytes, 0),
  };
}
