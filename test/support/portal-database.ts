import type { PortalServer } from '#libs/backup';
import { FakeEngine, FakeStreams, LABEL, plainContainer, type LocalProcess } from '#libs/engine';
import { backupTool } from './backup-tools.js';
import { ownerLogin } from './postgres.js';

const IMAGE = 'postgres:test';
const CONTAINER = 'portal-postgres';
const BOUNDS = { deadlineMs: 5_000 };

/** What a test does to the tools that run in the portal's database container. */
export interface PortalTools {
  /** What runs in place of one; null leaves it. */
  instead?: (tool: string) => LocalProcess | null;
  /** A statement in the database that pg_restore has just filled. */
  afterRestore?: string | null;
  /** Told before each. */
  before?: (tool: string) => void;
}

/** A tool of PostgreSQL as it would run in the portal's container, on the test's own server. */
export function portalTool(command: readonly string[], tools: PortalTools = {}): LocalProcess {
  const { host, port, user, password } = ownerLogin();
  const [tool = '', ...args] = command;
  tools.before?.(tool);
  const instead = tools.instead?.(tool) ?? null;
  if (instead) {
    return instead;
  }
  args[args.indexOf('-U') + 1] = user;
  const env = { ...process.env, PGHOST: host, PGPORT: port, PGPASSWORD: password };
  const file = backupTool(tool as 'pg_dump' | 'pg_restore' | 'psql');
  if (tool !== 'pg_restore' || !tools.afterRestore) {
    return { file, args, env };
  }
  const more = { PSQL: backupTool('psql'), SQL: tools.afterRestore, PGUSER: user };
  return {
    file: 'sh',
    args: ['-c', '"$0" "$@" && "$PSQL" -qX -c "$SQL"', file, ...args],
    env: { ...env, ...more, PGDATABASE: args[args.indexOf('-d') + 1] },
  };
}

/** The test's own server as the one in the portal's container, with the real tools; `database` is the portal's. */
export async function portalServerOf(
  { database, platformId }: { database: string; platformId: string },
  tools: PortalTools = {},
): Promise<PortalServer> {
  const engine = new FakeEngine({ images: [IMAGE] });
  const owner = { platform: platformId };
  await engine.createContainer(
    plainContainer(
      CONTAINER,
      { [LABEL.platform]: platformId, [LABEL.role]: 'portal' },
      { image: (await engine.imageId(IMAGE, BOUNDS)) ?? IMAGE },
    ),
    BOUNDS,
  );
  await engine.startContainer(CONTAINER, BOUNDS);
  const run = (_container: string, command: readonly string[]): LocalProcess => portalTool(command, tools);
  return {
    streams: new FakeStreams({ engine, run }),
    place: { container: CONTAINER, owner, account: '10012:10012', user: 'aviary_owner', database },
  };
}
