import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, open, readdir, rm, statfs, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { waitFor } from '#libs/async';
import type { BackupList, OperationView } from '#libs/contracts';
import { randomOf } from '#libs/trading';
import { backupTool } from '../support/backup-tools.js';
import { docker, killEngine, killProcess, startEngine } from '../support/engine.js';
import { generatedSecrets } from '../support/platform-secrets.js';
import { withOwnPlatform, type OwnPlatform } from './own-platform.js';
import { round, type BenchResult } from './report.js';

const OPERATIONS = ['backup', 'verify', 'prune', 'restore'] as const;
type Operation = (typeof OPERATIONS)[number];
const FAULTS = ['agent', 'engine', 'disk'] as const;
type Fault = (typeof FAULTS)[number];

interface Options {
  operation: string | undefined;
  /** Of the moments. */
  seed: number;
  say: (text: string) => void;
}

interface Outcome {
  operation: Operation;
  fault: Fault;
  /** Part of the undisturbed phase's time after which it was met. */
  after: number;
  /** How often it was tried until the phase was at work when the fault struck. */
  tries: number;
  seconds: number;
  /** What is not as it should be; that the fault met nothing is one. */
  findings: string[];
}

const execute = promisify(execFile);
const MIB = 1024 ** 2;
/** Of the file system that repositories lie on: several backups of the table below. */
const DISK_MIB = 1_024;
const ROWS = 300_000;
const AWAY_MS = 3_000;
const LONGEST_MS = 300_000;
/** In which the fault is met; a restore's own part is behind its safety backup. */
const PHASE: Record<Operation, string> = { backup: 'dump', verify: 'prove', prune: 'prune', restore: 'load' };
/** Loading only reads the repository's disk: a full one is met where its safety backup writes. */
const phaseOf = (operation: Operation, fault: Fault): string =>
  operation === 'restore' && fault === 'disk' ? 'safeguard' : PHASE[operation];
/** A phase may be over sooner than it was undisturbed; then it is tried again at half the time. */
const MOST_TRIES = 4;
const NO_ROOM = /no space left on device/i;
/** How soon after it began, where the phase is over in less than can be hit. */
const LEAST_SECONDS = 0.2;

/**
 * One moment of each operation and fault on a real engine, chosen by the seed: the agent killed, the engine killed and
 * back after some seconds, the repositories' disk full and room again. Afterwards the operation is done, or failed for
 * the disk and is done when it is asked for again.
 */
export function faultsOnEngine({ operation, seed, say }: Options): Promise<BenchResult> {
  return withDisk((backups) =>
    withOwnPlatform({ AVIARY_LEASE_SECONDS: '2', AVIARY_BACKUP_URL: backups }, async (own) => {
      const world = await EngineFaults.make(own, backups);
      const outcomes: Outcome[] = [];
      for (const one of OPERATIONS.filter((known) => operation === undefined || known === operation)) {
        const calm = await world.calm(one);
        say(`${one} undisturbed: ${[...calm].map(([phase, seconds]) => `${phase} ${round(seconds, 1)} s`).join(', ')}`);
        for (const fault of FAULTS) {
          const outcome = await world.met(one, fault, {
            after: randomOf(seed, `${one} ${fault}`),
            calm: calm.get(phaseOf(one, fault)) ?? 0,
          });
          outcomes.push(outcome);
          say(told(outcome));
        }
      }
      const broken = outcomes.filter(({ findings }) => findings.length > 0);
      const held = outcomes.length - broken.length;
      return {
        metrics: { seed, points: outcomes.length, held },
        goals: [
          {
            metric: 'points that held',
            unit: `of ${outcomes.length}`,
            goal: `= ${outcomes.length}`,
            value: held,
            met: broken.length === 0,
          },
        ],
        lines: [`seed ${seed}, on a real engine`, ...outcomes.map(told)],
        failed: broken.length > 0,
      };
    }),
  );
}

const told = ({ operation, fault, after, tries, seconds, findings }: Outcome): string =>
  `${findings.length === 0 ? '✓' : '✗'} ${operation} ${fault} at ${round(after * 100)} %, ${round(seconds, 1)} s` +
  (tries === 1 ? '' : `, met at the ${tries}. try`) +
  findings.map((finding) => `\n    ${finding}`).join('');

/** A file system of its own for repositories, which can be filled without harm. */
async function withDisk<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const home = await mkdtemp(join(tmpdir(), 'aviary-disk-'));
  const mounted = join(home, 'mounted');
  await chmod(home, 0o755);
  await mkdir(mounted);
  const image = join(home, 'disk.img');
  await writeFile(image, '');
  await truncate(image, DISK_MIB * MIB);
  await execute('mkfs.ext4', ['-q', '-m', '0', image]);
  await execute('mount', ['-o', 'loop', image, mounted]);
  try {
    return await work(join(mounted, 'backups'));
  } finally {
    await execute('umount', ['-l', mounted]);
    await rm(home, { recursive: true, force: true });
  }
}

class EngineFaults {
  private rows = ROWS;

  private constructor(
    private readonly own: OwnPlatform,
    private readonly backups: string,
    private readonly stack: { id: string; slug: string },
    private baseline: { backup: string; data: string },
  ) {}

  static async make(own: OwnPlatform, backups: string): Promise<EngineFaults> {
    const { platform, customer } = own;
    await platform.sql('update plans set keep_daily = 1, keep_weekly = 0, keep_monthly = 0');
    const { stack, operation } = await customer.createStack();
    await customer.operationEnd(operation.id);
    await platform.stackSql(
      stack.slug,
      `create table large as select n, repeat(md5(n::text), 4) as filling from generate_series(1, ${ROWS}) n`,
    );
    const world = new EngineFaults(own, backups, stack, { backup: '', data: '' });
    await world.takeBaseline();
    return world;
  }

  /** Seconds of each phase where nothing happens. */
  async calm(operation: Operation): Promise<Map<string, number>> {
    await this.prepare(operation);
    const id = await this.ask(operation);
    await this.end(id);
    const rows = await this.sql(
      `select phase || ' ' || extract(epoch from finished_at - started_at) from operation_steps
        where operation_id = '${id}' and action is null and finished_at is not null and started_at is not null`,
    );
    return new Map(rows.split('\n').map((row) => [row.split(' ')[0] ?? '', Number(row.split(' ')[1])]));
  }

  /** Tries until the phase was at work when the fault struck, and the fault hindered it; where it never is, that is found. */
  async met(operation: Operation, fault: Fault, { after, calm }: { after: number; calm: number }): Promise<Outcome> {
    const began = performance.now();
    for (let [share, tries] = [after, 1]; ; share /= 2, tries += 1) {
      const { missed, findings } = await this.once(operation, fault, Math.max(LEAST_SECONDS, calm * share));
      if (missed === null || findings.length > 0 || tries === MOST_TRIES) {
        const seconds = (performance.now() - began) / 1_000;
        return {
          operation,
          fault,
          after: share,
          tries,
          seconds,
          findings: [...(missed === null ? [] : [`missed: ${missed}`]), ...findings],
        };
      }
    }
  }

  private async once(
    operation: Operation,
    fault: Fault,
    seconds: number,
  ): Promise<{ missed: string | null; findings: string[] }> {
    const phase = phaseOf(operation, fault);
    await this.prepare(operation);
    const before = { data: await this.data(), volumes: await this.volumes() };
    let id = await this.ask(operation);
    await waitFor(async () => ((await this.step(id, phase)).state === 'pending' ? undefined : true), {
      what: `the phase ${phase}`,
      deadlineMs: LONGEST_MS,
      intervalMs: 50,
      maxIntervalMs: 50,
    });
    await pause(seconds * 1_000);
    let missed: string | null = `${phase} was over after less than ${round(seconds, 1)} s`;
    let undo = (): Promise<void> => Promise.resolve();
    let struckAt = Number.POSITIVE_INFINITY;
    if ((await this.step(id, phase)).state === 'running') {
      const struck = await this.make(fault);
      ({ undo, at: struckAt } = struck);
    }
    let row = await this.over(id, fault);
    await undo();
    // It moves no more once the operation is over: what ended before the fault had struck was not met by it.
    const { endedAt } = await this.step(id, phase);
    if (Number.isFinite(struckAt) && (endedAt === null || endedAt > struckAt)) {
      missed = null;
    }
    if (fault === 'disk' && missed === null && !NO_ROOM.test(row.error)) {
      missed = `nothing of ${phase} found the disk full; the operation ended ${row.state} ${row.error}`;
    }
    if (fault === 'disk' && row.state === 'failed') {
      id = await this.ask(operation);
      row = await this.over(id, fault);
    }
    const findings = await this.findings(row, {
      data: operation === 'restore' ? this.baseline.data : before.data,
      volumes: before.volumes + (operation === 'restore' ? 2 : 0),
    });
    return { missed, findings };
  }

  /** `endedAt` in milliseconds since 1970, by the clock of this machine. */
  private async step(operationId: string, phase: string): Promise<{ state: string; endedAt: number | null }> {
    const [state = '', ended = ''] = (
      await this.sql(
        `select state, coalesce((extract(epoch from finished_at) * 1000)::text, '') from operation_steps
          where operation_id = '${operationId}' and phase = '${phase}' and action is null`,
      )
    ).split('|');
    return { state, endedAt: ended === '' ? null : Number(ended) };
  }

  private get platform(): OwnPlatform['platform'] {
    return this.own.platform;
  }

  private sql(statement: string): Promise<string> {
    return this.platform.sql(statement);
  }

  private async takeBaseline(): Promise<void> {
    await this.end(await this.ask('backup'));
    const { items } = await this.own.customer.api<BackupList>('GET', `/stacks/${this.stack.slug}/backups`);
    this.baseline = { backup: items[0]?.id ?? '', data: await this.data() };
  }

  private async prepare(operation: Operation): Promise<void> {
    if (operation === 'prune' || operation === 'restore') {
      // Drops what a restore kept, and is the one that stays.
      await this.takeBaseline();
    }
    if (operation === 'prune') {
      await this.sql(
        `update backups set taken_at = taken_at - interval '9 days', begun_at = begun_at - interval '9 days'
          where tenant_id = '${this.stack.id}' and id <> '${this.baseline.backup}'`,
      );
      return;
    }
    this.rows += 1;
    await this.platform.stackSql(this.stack.slug, `insert into large values (${this.rows}, 'more')`);
  }

  private async ask(operation: Operation): Promise<string> {
    const { slug, id } = this.stack;
    const post = async (path: string, body?: unknown): Promise<string> =>
      (await this.own.customer.api<{ operation: OperationView }>('POST', `/stacks/${slug}/${path}`, body)).operation.id;
    if (operation === 'restore') {
      return post('restore', { backup: this.baseline.backup, confirm: slug });
    }
    if (operation !== 'prune') {
      return post('backups');
    }
    const known = await this.newestPrune(id);
    // It waits for the end; ended with its engine it is not missed, since the row tells.
    this.platform.cli('backup', 'prune', slug, '--confirm', slug).catch(() => undefined);
    return waitFor(
      async () => {
        const newest = await this.newestPrune(id);
        return newest === known ? undefined : newest;
      },
      { what: 'the prune', deadlineMs: LONGEST_MS, intervalMs: 50, maxIntervalMs: 50 },
    );
  }

  private newestPrune(tenant: string): Promise<string> {
    return this.sql(
      `select id from operations where tenant_id = '${tenant}' and kind = 'prune' order by created_at desc limit 1`,
    );
  }

  /** Gives when it had struck, in milliseconds since 1970, and what undoes it. */
  private async make(fault: Fault): Promise<{ at: number; undo: () => Promise<void> }> {
    const nothing = (): Promise<void> => Promise.resolve();
    if (fault === 'agent') {
      await killProcess(this.platform.container('agent'));
      return { at: Date.now(), undo: nothing };
    }
    if (fault === 'engine') {
      await killEngine();
      const at = Date.now();
      await pause(AWAY_MS);
      await startEngine();
      return { at, undo: nothing };
    }
    const { bavail, bsize } = await statfs(this.backups);
    const hog = join(this.backups, '..', 'hog');
    await execute('fallocate', ['-l', String(Math.max(1, bavail - 1) * bsize), hog]);
    // The last block too: a lock of restic needs no more than one.
    const rest = await open(`${hog}-rest`, 'w');
    try {
      for (;;) {
        await rest.write(Buffer.alloc(bsize));
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') {
        throw error;
      }
    } finally {
      await rest.close();
    }
    return { at: Date.now(), undo: async () => void (await Promise.all([rm(hog), rm(`${hog}-rest`)])) };
  }

  private async over(id: string, fault: Fault): Promise<{ state: string; error: string }> {
    return waitFor(
      async () => {
        const [state = '', error = ''] = (
          await this.sql(`select state, coalesce(error ->> 'message', '') from operations where id = '${id}'`)
        ).split('|');
        return ['queued', 'running'].includes(state) ? undefined : { state, error };
      },
      { what: `the end of the operation after ${fault}`, deadlineMs: LONGEST_MS },
    );
  }

  private async end(id: string): Promise<void> {
    const { state, error } = await this.over(id, 'agent');
    if (state !== 'done') {
      throw new Error(`an operation nothing happened to ended ${state}: ${error}`);
    }
  }

  private data(): Promise<string> {
    return this.platform.stackSql(
      this.stack.slug,
      `select count(*) || ' rows ' || sum(hashtextextended(l::text, 0)) from large l`,
    );
  }

  private async volumes(): Promise<number> {
    return (await this.platform.objects()).volumes.filter((name) => name.includes(this.stack.slug)).length;
  }

  private async findings(
    row: { state: string; error: string },
    expected: { data: string; volumes: number },
  ): Promise<string[]> {
    const found: string[] = [];
    const same = (what: string, is: unknown, should: unknown): void => {
      if (JSON.stringify(is) !== JSON.stringify(should)) {
        found.push(`${what}: ${JSON.stringify(is)} instead of ${JSON.stringify(should)}`);
      }
    };
    const { slug, id } = this.stack;
    same('the operation', row, { state: 'done', error: '' });
    const runs = await waitFor(
      async () => ((await this.own.customer.stack(slug)).status === 'running' ? 'running' : undefined),
      { what: 'the stack running', deadlineMs: 60_000 },
    ).catch(async () => (await this.own.customer.stack(slug)).status);
    same('the stack', runs, 'running');
    same('data', await this.data(), expected.data);
    same('volumes', await this.volumes(), expected.volumes);
    const { containers } = await this.platform.objects();
    same(
      'beside it',
      containers.filter((name) => name.includes(slug) && /scratch|courier/.test(name)),
      [],
    );
    const stored = await this.sql(
      `select part ->> 'snapshotId' from backups, jsonb_array_elements(parts) part where tenant_id = '${id}' order by 1`,
    );
    const restic = await this.restic();
    const listed = JSON.parse(await restic('snapshots', '--json')) as { id: string }[];
    same('snapshots', listed.map((one) => one.id).toSorted(), stored.split('\n').filter(Boolean).toSorted());
    same('locks', await restic('list', 'locks', '--no-lock'), '');
    await restic('check', '--read-data').catch((error: unknown) => found.push(`restic check: ${String(error)}`));
    const cache = await docker('exec', this.platform.container('agent'), 'ls', '/var/lib/aviary/restic');
    same(
      'beside the caches',
      cache.split('\n').filter((name) => name.startsWith('restic-check-cache-')),
      [],
    );
    same('half-written files', await halfWritten(join(this.backups, id)), []);
    return found;
  }

  private async restic(): Promise<(...args: string[]) => Promise<string>> {
    const { id } = this.stack;
    const secret = (await generatedSecrets(this.platform)).find(({ what }) => what === `repository/${id}`);
    return async (...args) => {
      const folder = await mkdtemp(join(tmpdir(), 'aviary-password-'));
      const file = join(folder, 'password');
      try {
        await writeFile(file, secret?.text ?? '', { mode: 0o600 });
        const options = ['-q', '-r', join(this.backups, id), '--password-file', file, '--no-cache'];
        return (await execute(backupTool('restic'), [...options, ...args])).stdout.trim();
      } finally {
        await rm(folder, { recursive: true });
      }
    };
  }
}

async function halfWritten(folder: string): Promise<string[]> {
  return (await readdir(folder, { recursive: true })).filter((name) => name.includes('-tmp-'));
}
