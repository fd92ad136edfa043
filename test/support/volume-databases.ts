import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { LABEL, type ContainerSpec, type Engine, type LocalProcess, type VolumeSpec } from '#libs/engine';
import { majorOfLabel } from '#libs/tenants';
import { backupTool } from './backup-tools.js';

const DATA = '/var/lib/postgresql/data';
/** Of the server that every test of this project has. */
const OWN_MAJOR = 17;

/** A server whose databases stand for volumes with its files, and the tools in images of its major version. */
export interface VolumeServer {
  major: number;
  url: URL;
  program: (tool: 'pg_dump' | 'pg_restore' | 'psql') => string;
}

/**
 * The test's own server, whose databases stand for the data volumes of stacks: made, filled and dropped as those are.
 * With others of other major versions, each volume is a database of the server that its label names, and no image's
 * tools reach it but those of that version.
 */
export class VolumeDatabases {
  /** What runs in place of a tool, where a test wants it so; `real` is what would. */
  instead: (tool: string, real: LocalProcess) => LocalProcess | null = () => null;
  /** Done once a server for a backup's data was started, and in its database once the backup was loaded. */
  beforeRestore: (() => Promise<void>) | null = null;
  afterRestore: string | null = null;
  private readonly url = new URL(process.env['AVIARY_TEST_POSTGRES'] ?? '');
  private readonly servers = new Map<number, VolumeServer>([
    [OWN_MAJOR, { major: OWN_MAJOR, url: this.url, program: backupTool }],
  ]);
  /** Major version of the images that are not of the test's own server. */
  private readonly images = new Map<string, number>();
  private readonly names = new Map<string, { database: string; major: number }>();
  /** Image by container. */
  private readonly made = new Map<string, string>();
  /** Data volume by container. */
  private readonly mounted = new Map<string, string>();
  /** What each container mounts where. */
  private readonly mounts = new Map<string, ContainerSpec['mounts']>();

  /** An engine in memory whose data volumes are databases of the test's server. */
  around(engine: Engine): Engine {
    const made = async ({ name, labels }: VolumeSpec): Promise<void> => {
      if (/-(data|scratch)-\d+$/.test(name) && !this.names.has(name)) {
        const database = `volume_${randomUUID().replaceAll('-', '')}`;
        const major = majorOfLabel(labels[LABEL.databaseMajor]);
        await this.server((client) => client.query(`create database ${database}`), { major });
        this.names.set(name, { database, major });
      }
    };
    const removed = async (name: string): Promise<void> => {
      const found = this.names.get(name);
      if (found !== undefined) {
        this.names.delete(name);
        const drop = `drop database ${found.database} with (force)`;
        await this.server((client) => client.query(drop), { major: found.major });
      }
    };
    return new Proxy(engine, {
      get: (target, name, receiver) => {
        const member: unknown = Reflect.get(target, name, receiver);
        if (typeof member !== 'function') {
          return member;
        }
        const call = member.bind(target) as (...args: unknown[]) => Promise<unknown>;
        if (name === 'createVolume') {
          return async (...args: unknown[]) => {
            const answer = await call(...args);
            await made(args[0] as VolumeSpec);
            return answer;
          };
        }
        if (name === 'createContainer') {
          return async (...args: unknown[]) => {
            const spec = args[0] as ContainerSpec;
            this.mounts.set(spec.name, spec.mounts);
            this.made.set(spec.name, spec.image);
            const volume = spec.mounts.find(({ target: at }) => at === DATA)?.volume;
            if (volume !== undefined) {
              this.mounted.set(spec.name, volume);
            }
            return call(...args);
          };
        }
        if (name === 'startContainer') {
          return async (...args: unknown[]) => {
            if ((args[0] as string).endsWith('-scratch')) {
              await this.beforeRestore?.();
            }
            return call(...args);
          };
        }
        if (name === 'removeVolume') {
          return async (...args: unknown[]) => {
            const answer = await call(...args);
            await removed(args[0] as string);
            return answer;
          };
        }
        return call;
      },
    });
  }

  /** Another server, and the image whose containers have its tools. */
  add(server: VolumeServer, image: string): void {
    this.servers.set(server.major, server);
    this.images.set(image, server.major);
  }

  /** A tool of PostgreSQL as it would run in that container. */
  tool(container: string, command: readonly string[]): LocalProcess {
    const [tool = ''] = command;
    const real = this.real(container, command);
    return this.instead(tool, real) ?? real;
  }

  private real(container: string, command: readonly string[]): LocalProcess {
    const [tool = '', ...args] = command;
    const { database, major } = this.databaseOf(container);
    const { url, program } = this.serverOf(major);
    if (this.majorIn(container) !== major) {
      // As the server says it, which never came up.
      const words = `FATAL:  database files are incompatible with server: of ${major}, and this is ${this.majorIn(container)}`;
      return { file: 'sh', args: ['-c', 'cat >/dev/null; echo "$0" >&2; exit 2', words] };
    }
    const { hostname, port, username, password } = url;
    const at = (flag: string): number => args.indexOf(flag) + 1;
    args[at('-U')] = username;
    args[at('-d')] = database;
    const env = { ...process.env, PGHOST: hostname, PGPORT: port, PGPASSWORD: decodeURIComponent(password) };
    const file = program(tool as 'pg_dump' | 'pg_restore' | 'psql');
    if (tool !== 'pg_restore' || this.afterRestore === null) {
      return { file, args, env };
    }
    const more = { PSQL: file.replace('pg_restore', 'psql'), SQL: this.afterRestore, PGUSER: username };
    return {
      file: 'sh',
      args: ['-c', '"$0" "$@" && "$PSQL" -qX -c "$SQL"', file, ...args],
      env: { ...env, ...more, PGDATABASE: database },
    };
  }

  private majorIn(container: string): number {
    return this.images.get(this.made.get(container) ?? '') ?? OWN_MAJOR;
  }

  private serverOf(major: number): VolumeServer {
    const server = this.servers.get(major);
    if (!server) {
      throw new Error(`this test has no server of PostgreSQL ${major}`);
    }
    return server;
  }

  /** Volume that a container has at that folder. */
  volumeAt(container: string, folder: string): string {
    const volume = this.mounts.get(container)?.find(({ target }) => target === folder)?.volume;
    if (volume === undefined) {
      throw new Error(`${container} mounts nothing at ${folder}`);
    }
    return volume;
  }

  /** A statement in the database of a container. */
  async sql(container: string, statement: string): Promise<Record<string, unknown>[]> {
    return this.server(
      async (client) => (await client.query<Record<string, unknown>>(statement)).rows,
      this.databaseOf(container),
    );
  }

  /** Names of the volumes there are. */
  volumes(): string[] {
    return [...this.names.keys()].toSorted();
  }

  /** Whether the server lets that role in with that password. */
  async opens(role: string, password: string): Promise<boolean> {
    const { hostname: host, port } = this.url;
    const client = new pg.Client({ host, port: Number(port), user: role, password, database: 'postgres' });
    try {
      await client.connect();
      return true;
    } catch (error) {
      // invalid_password
      if ((error as { code?: string }).code === '28P01') {
        return false;
      }
      throw error;
    } finally {
      await client.end();
    }
  }

  /** A new database of the test's server, with nothing in it: how programs reach it, and what is asked of it. */
  async empty(): Promise<{
    env: Record<string, string>;
    sql: (statement: string) => Promise<Record<string, unknown>[]>;
    drop: () => Promise<void>;
  }> {
    const database = `by_hand_${randomUUID().replaceAll('-', '')}`;
    await this.admin(`create database ${database}`);
    const { hostname, port, username, password } = this.url;
    return {
      env: {
        PGHOST: hostname,
        PGPORT: port,
        PGUSER: username,
        PGPASSWORD: decodeURIComponent(password),
        PGDATABASE: database,
      },
      sql: (statement) =>
        this.server(async (client) => (await client.query<Record<string, unknown>>(statement)).rows, { database }),
      drop: () => this.admin(`drop database ${database} with (force)`),
    };
  }

  /** A statement to the server as its own user. */
  async admin(statement: string): Promise<void> {
    await this.server((client) => client.query(statement));
  }

  private databaseOf(container: string): { database: string; major: number } {
    const found = this.names.get(this.mounted.get(container) ?? '');
    if (found === undefined) {
      throw new Error(`${container} has no data`);
    }
    return found;
  }

  private async server<T>(
    work: (client: pg.Client) => Promise<T>,
    { database = 'postgres', major = OWN_MAJOR }: { database?: string; major?: number } = {},
  ): Promise<T> {
    const url = new URL(this.serverOf(major).url);
    url.pathname = `/${database}`;
    const client = new pg.Client({ connectionString: url.href });
    await client.connect();
    try {
      return await work(client);
    } finally {
      await client.end();
    }
  }

  async close(): Promise<void> {
    for (const { database, major } of this.names.values()) {
      await this.server((client) => client.query(`drop database if exists ${database} with (force)`), { major });
    }
  }
}
