import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ReleaseEntity } from '#libs/db';
import { databaseMajorOf, stackNames, type Template } from '#libs/tenants';
import { olderPostgres } from './backup-tools.js';
import { BackupWorld, type BackedUpStack } from './backup-world.js';
import { olderServer, type OlderServer } from './older-server.js';

/** What `dataOf` says of a stack with all that it was given, besides the server's major version. */
export const WHOLE = { fills: 1_000, notes: 500, sequence: 500, view: 500, function: 42, objects: 1, beside: true };

/** Two releases of one template whose databases are real servers of PostgreSQL 15 and 17. */
export class Majors {
  private constructor(
    readonly world: BackupWorld,
    readonly fifteen: ReleaseEntity,
    readonly seventeen: ReleaseEntity,
    private readonly server: OlderServer,
  ) {}

  static async start(): Promise<Majors> {
    const server = await olderServer();
    const world = await BackupWorld.start();
    const image = world.world.engine.addImage('postgres:15');
    const { url, major } = server;
    world.databases.add({ url, major, program: olderPostgres }, image);
    const { manager } = world.world.database.dataSource;
    const [seventeen] = (await manager.find(ReleaseEntity)) as [ReleaseEntity];
    const template = seventeen.definition as Template;
    expect(databaseMajorOf(template)).toBe(17);
    const fifteen = Object.assign(new ReleaseEntity(), seventeen, {
      id: 'standard@0.0.9+00000015',
      version: '0.0.9',
      definition: { ...template, aviary: { ...template.aviary, databaseMajor: 15 } },
      images: { ...seventeen.images, postgres: image },
      createdAt: new Date(seventeen.createdAt.getTime() - 60_000),
    });
    await manager.insert(ReleaseEntity, fifteen as object);
    return new Majors(world, fifteen, seventeen, server);
  }

  /** A stack on that release, with data of every kind that a dump treats in a way of its own. */
  async stackOn(release: ReleaseEntity) {
    const { world } = this;
    const { manager } = world.world.database.dataSource;
    const other = release.id === this.fifteen.id ? this.seventeen : this.fifteen;
    await manager.update(ReleaseEntity, { id: other.id }, { state: 'candidate' });
    const stack = await world.stack();
    await manager.update(ReleaseEntity, { id: other.id }, { state: 'stable' });
    for (const statement of [
      `create table notes (id serial primary key, fill int references fills, text text not null, at timestamptz, raw bytea, more jsonb, part double precision)`,
      `insert into notes (fill, text, at, raw, more, part)
         select n, case n % 4 when 0 then E'\\\\restrict me' when 1 then E'\\restrict me' when 2 then E'tab\\tand\\nline' else 'Grüße, 世界' end,
                now(), decode(md5(n::text), 'hex'), jsonb_build_object('n', n), n / 3.0
           from generate_series(1, 500) n`,
      `create index notes_text on notes (text)`,
      `create view priced as select n.id, f.price from notes n join fills f on f.id = n.fill`,
      `create function twice(n int) returns int language sql as 'select n * 2'`,
      `select lo_from_bytea(0, decode(repeat('ab', 5000), 'hex'))`,
      `create schema beside`,
      `create table beside.empty (x int)`,
    ]) {
      await world.databases.sql(stack.postgres, statement);
    }
    const cache = world.volumeFolder(this.cacheOf(stack, 1));
    await mkdir(cache, { recursive: true });
    await writeFile(join(cache, 'appendonly.aof'), 'what Redis keeps');
    return stack;
  }

  /** Volume of what Redis keeps. */
  cacheOf({ slug }: BackedUpStack, epoch: number): string {
    return stackNames(this.world.world.database.platformId, slug).volume('cache', epoch);
  }

  /** Major version of the server that the stack's data is on, and what is there. */
  async dataOf(stack: BackedUpStack): Promise<object> {
    const [row] = await this.world.databases.sql(
      stack.postgres,
      `select current_setting('server_version_num')::int / 10000 as major, (select count(*)::int from fills) as fills,
              (select count(*)::int from notes) as notes, (select sum(hashtext(notes::text))::text from notes) as figure,
              (select last_value::int from notes_id_seq) as sequence, (select count(*)::int from priced) as view,
              twice(21) as function, (select count(*)::int from pg_largeobject_metadata) as objects,
              to_regclass('beside.empty') is not null as beside`,
    );
    return row ?? {};
  }

  async close(): Promise<void> {
    await this.world.close();
    await this.server.close();
  }
}
