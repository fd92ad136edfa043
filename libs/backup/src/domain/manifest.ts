import { z } from 'zod';

const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/);

const tableSchema = z.object({
  schema: z.string(),
  name: z.string(),
  rows: z.int().min(0),
  /**
   * Sum of the hashes of its rows as text, whatever their order: of what was restored for the proof. A backup that was
   * not proven yet has none.
   */
  figure: z.string().optional(),
});
export type TableCount = z.infer<typeof tableSchema>;

const databaseSchema = z.object({
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
  /** SHA-256 of how its tables are defined. */
  definition: sha256Schema.optional(),
  tables: z.array(tableSchema),
});
export type DatabaseManifest = z.infer<typeof databaseSchema>;

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
  databases: z.array(databaseSchema),
  /** SHA-256 of what the portal knew of the stack that goes with its data: release, limits, sealed secrets. */
  stack: sha256Schema.optional(),
  volumes: z.array(z.object({ volume: z.string(), part: z.string(), bytes: z.int(), sha256: sha256Schema })),
  /** Ends of logs, where they were asked for: for reading alone, no restore takes them. */
  logs: z.array(z.object({ service: z.string(), part: z.string(), bytes: z.int(), sha256: sha256Schema })).optional(),
});
export type Manifest = z.infer<typeof manifestSchema>;
export type VolumeManifest = Manifest['volumes'][number];

/** What a backup of the portal holds. What recovery has to know before there is a database stands here. */
export const portalManifestSchema = z.object({
  version: z.literal(1),
  backup: z.uuid(),
  platform: z.uuid(),
  /** The portal's image, whose tag is the hash of the sources it was made of. */
  image: z.string(),
  takenAt: z.iso.datetime(),
  stacks: z.int().min(0),
  /** Of `.env`, by full name, without any secret. */
  settings: z.record(z.string().regex(/^AVIARY_[A-Z0-9_]+$/), z.string()),
  /** Names of what a person had set and is secret, so that recovery can ask for it. Backups of before have none. */
  secrets: z.array(z.string()).optional(),
  database: databaseSchema,
});
export type PortalManifest = z.infer<typeof portalManifestSchema>;

/** Lies beside it once the backup was restored and compared. */
export const portalProofSchema = z.object({
  version: z.literal(1),
  backup: z.uuid(),
  verifiedAt: z.iso.datetime(),
  /** Id of the master key that the platform's data key in it is under; null before there was one. */
  masterKey: z.string().nullable(),
  /** Of all that data keys in it are under; proofs of before lack it. */
  masterKeys: z.array(z.string()).optional(),
});
export type PortalProof = z.infer<typeof portalProofSchema>;

const keyOf = ({ schema, name }: Pick<TableCount, 'schema' | 'name'>): string => `${schema}.${name}`;

/** Where the tables counted are not those of the manifest, in words; empty where they are. */
export function differences(expected: readonly TableCount[], counted: readonly TableCount[]): string[] {
  const found = new Map(counted.map((table) => [keyOf(table), table]));
  const known = new Set(expected.map(keyOf));
  return [
    ...expected.flatMap((table) => {
      const now = found.get(keyOf(table));
      if (now === undefined) {
        return [`${keyOf(table)} is missing`];
      }
      if (now.rows !== table.rows) {
        return [`${keyOf(table)} has ${now.rows} rows instead of ${table.rows}`];
      }
      return table.figure === undefined || table.figure === now.figure ? [] : [`${keyOf(table)} has other rows`];
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
