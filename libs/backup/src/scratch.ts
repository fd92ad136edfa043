import { waitFor } from '#libs/async';
import { DomainError } from '#libs/contracts';
import { randomToken } from '#libs/crypto';
import { LABEL, type ContainerSpec, type Engine, type EngineStreams } from '#libs/engine';
import { SECRETS_DIRECTORY, wantStack, type StackFacts } from '#libs/orchestrator';
import { databaseMajorOf, SCRATCH, stackNames } from '#libs/tenants';
import { PsqlSession, type ContainerDatabase } from './psql.js';

const CALL_MS = 60_000;
const READY_MS = 120_000;
const STOP_GRACE_SECONDS = 60;
const COURIER = `${SCRATCH}-courier`;

/** Reading what is in a large table is most of the comparing, and it can be shared out. */
const SHARED_READS = ['-c', 'max_parallel_workers=2', '-c', 'max_parallel_workers_per_gather=2'];
/**
 * What is loaded in the transaction that makes its table goes to the table's file alone, and is on the disk before that
 * transaction counts, instead of to the log and to the file: nothing follows this server's log. One transaction holds a
 * lock on each thing it makes. That it counts is on the disk with `stop`: while it is not, whoever reads what was loaded
 * does not note in each row that it counts, which would write all of it twice more, into the log and into the file. And
 * nobody tidies up beside them.
 */
const LOADS_AT_ONCE = [
  'wal_level=minimal',
  'max_wal_senders=0',
  'archive_mode=off',
  'max_locks_per_transaction=1024',
  'synchronous_commit=off',
  'wal_writer_delay=10s',
  'autovacuum=off',
].flatMap((option) => ['-c', option]);
/** Nothing of a server that only proves a backup is kept, so nothing of it has to reach the disk in time. */
const HASTY = ['fsync=off', 'full_page_writes=off'].flatMap((option) => ['-c', option]);

export interface ScratchPlan {
  engine: Engine;
  streams: EngineStreams;
  facts: StackFacts;
  /** Which of the template's databases it takes the place of. */
  service: string;
  /** Volume of the server's data: one of its own that goes with it, or one that stays. */
  data: { volume: string; role: string } | null;
  signal: AbortSignal;
}

/**
 * A Postgres of the stack's own image and settings beside the stack: on no network, with limits of its own and the
 * processors of the whole plan, for what is loaded from a backup. One at a time for a stack; what an earlier one left is removed first.
 */
export class ScratchServer {
  readonly place: ContainerDatabase;
  private readonly names: ReturnType<typeof stackNames>;
  private readonly owner: { platform: string; tenant: string };

  private constructor(private readonly plan: ScratchPlan) {
    const { facts, service } = plan;
    this.names = stackNames(facts.platformId, facts.slug);
    this.owner = { platform: facts.platformId, tenant: facts.tenantId };
    this.place = { ...databaseOf(facts, service), container: this.names.container(SCRATCH) };
  }

  static async start(plan: ScratchPlan): Promise<ScratchServer> {
    const server = new ScratchServer(plan);
    await server.erase();
    await server.make();
    await server.ready();
    return server;
  }

  /** What an earlier one left behind, where there is anything. */
  static async clear(plan: Omit<ScratchPlan, 'service' | 'data'>): Promise<void> {
    const [service = ''] = plan.facts.template.aviary.backup.postgres;
    await new ScratchServer({ ...plan, service, data: null }).erase();
  }

  /** Ends it, once its data is whole on the disk: how it then ends is of no account. */
  async stop(): Promise<void> {
    const { engine, streams, signal } = this.plan;
    const session = await PsqlSession.open(streams, this.place, signal);
    await session.query('checkpoint');
    await session.close();
    const bounds = { deadlineMs: STOP_GRACE_SECONDS * 1_000 + CALL_MS, signal };
    await engine.stopContainer(this.place.container, STOP_GRACE_SECONDS, bounds);
  }

  /** Removes it, and its data where that is its own. */
  async erase(): Promise<void> {
    const { engine } = this.plan;
    // Also once the work was called off: it must not be found by the next.
    const bounds = { deadlineMs: CALL_MS };
    await engine.removeContainer(this.place.container, this.owner, bounds);
    await engine.removeContainer(this.names.container(COURIER), this.owner, bounds);
    await engine.removeVolume(this.names.volume(SCRATCH, 0), this.owner, bounds);
    await engine.removeVolume(this.names.secrets(SCRATCH), this.owner, bounds);
  }

  private async make(): Promise<void> {
    const { engine, facts, service, data, signal } = this.plan;
    const bounds = { deadlineMs: CALL_MS, signal };
    const labels = { [LABEL.platform]: this.owner.platform, [LABEL.tenant]: this.owner.tenant };
    const wanted = wantStack(facts).containers.find((container) => container.service === service);
    if (!wanted) {
      throw new Error(`template ${facts.template.name} has no service ${service}`);
    }
    const { spec } = wanted;
    const own = this.names.volume(SCRATCH, 0);
    const secrets = data ? this.names.secrets(service) : this.names.secrets(SCRATCH);
    const volume = data?.volume ?? own;
    const major = String(databaseMajorOf(facts.template));
    await engine.createVolume(
      { name: volume, labels: { ...labels, [LABEL.role]: data?.role ?? SCRATCH, [LABEL.databaseMajor]: major } },
      bounds,
    );
    if (!data) {
      await engine.createVolume({ name: secrets, labels: { ...labels, [LABEL.role]: SCRATCH } }, bounds);
      await this.fillSecrets(secrets, spec, labels);
    }
    const { cpus } = await engine.info(bounds);
    await engine.createContainer(
      {
        ...spec,
        name: this.place.container,
        labels: { ...labels, [LABEL.role]: SCRATCH },
        // Beside the stack for a short time: what waits for it is a person, or the next night's backup.
        limits: { ...spec.limits, cpus: Math.max(spec.limits.cpus, Math.min(facts.limits.cpus, cpus)) },
        command: [...(spec.command ?? ['postgres']), ...SHARED_READS, ...LOADS_AT_ONCE, ...(data ? [] : HASTY)],
        mounts: spec.mounts.map((mount) => ({
          ...mount,
          volume: mount.target === SECRETS_DIRECTORY ? secrets : volume,
        })),
        networks: [],
        extraHosts: {},
        restart: 'no',
      },
      bounds,
    );
    await engine.startContainer(this.place.container, bounds);
  }

  /** Its first start asks for a password; nobody will ever use this one. */
  private async fillSecrets(
    volume: string,
    { user, image }: ContainerSpec,
    labels: Readonly<Record<string, string>>,
  ): Promise<void> {
    const { engine, facts, service, signal } = this.plan;
    const [uid = 0, gid = 0] = user.split(':').map(Number);
    const files = Object.keys(facts.template.aviary.files[service] ?? {}).map((path) => ({
      path,
      content: randomToken(),
      mode: 0o400,
      uid,
      gid,
    }));
    await engine.fillVolumes(
      {
        name: this.names.container(COURIER),
        // Part of the scratch: one of the usual role would be taken for left over, and repaired away under our hands.
        labels: { ...labels, [LABEL.role]: SCRATCH },
        image,
        volumes: [{ volume, files }],
      },
      { deadlineMs: CALL_MS, signal },
    );
  }

  /** Until it takes statements and its first start is over. */
  private async ready(): Promise<void> {
    const { streams, signal } = this.plan;
    await waitFor(
      async () => {
        try {
          const session = await PsqlSession.open(streams, this.place, signal);
          const began = await session.one(`select (pg_stat_file('aviary-first-start', true)).size is null`);
          await session.close();
          return began === 't' ? true : undefined;
        } catch (error) {
          // Not yet: it starts.
          if (error instanceof DomainError && error.code === 'BACKUP_FAILED') {
            return undefined;
          }
          throw error;
        }
      },
      { what: 'a server for the backup’s data', deadlineMs: READY_MS, intervalMs: 50, maxIntervalMs: 100, signal },
    );
  }
}

/** A server for the work alone, gone afterwards; why the work failed is told before why it could not be removed. */
export async function onScratch(plan: ScratchPlan, work: (server: ScratchServer) => Promise<void>): Promise<void> {
  const server = await ScratchServer.start(plan);
  try {
    await work(server);
  } catch (error) {
    await server.erase().catch(() => undefined); // The planner clears away what is left.
    throw error;
  }
  await server.erase();
}

/** The stack's own database of that service. */
export function databaseOf(
  facts: Pick<StackFacts, 'platformId' | 'tenantId' | 'slug' | 'template'>,
  service: string,
): ContainerDatabase {
  const part = facts.template.services[service];
  const user = part?.environment['POSTGRES_USER'] ?? 'postgres';
  return {
    container: stackNames(facts.platformId, facts.slug).container(service),
    owner: { platform: facts.platformId, tenant: facts.tenantId },
    account: part?.user ?? '999:999',
    user,
    database: part?.environment['POSTGRES_DB'] ?? user,
  };
}
