import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { waitFor } from '#libs/async';
import type { OperationView } from '#libs/contracts';
import { backupTool } from '../backup-tools.js';
import { docker } from '../engine.js';
import { halfWritten, locksIn, none, wrongIn, type OwnRestic } from '../faults/left-over.js';
import type { FaultOperation } from '../faults/operations.js';
import type { TestPlatform } from '../platform.js';
import { generatedSecrets } from '../platform-secrets.js';
import type { PortalClient } from '../portal-client.js';
import type { HeldStack } from './hold.js';

/** An operation's row. */
export interface Ended {
  state: string;
  /** What it says of its failure; empty where it has none. */
  error: string;
  /** How often it was begun. */
  attempts: number;
}

/** As it is before an operation. */
export interface Before {
  data: string;
  /** Volumes of data that a restore took the place of. */
  kept: number;
}

const PASSWORD = 'correct horse battery staple';
/** Enough for a dump to be in the middle of its data. */
const ROWS = 100_000;
/** Volumes of a stack's data, of which each restore leaves the ones before. */
const DATA_VOLUMES = 2;
const OVER_MS = 180_000;
const SOON_MS = 60_000;
/** A restic that looks at the portal's own repository comes and goes, and so does a session that lost its caller. */
const PASSING_MS = 10_000;
const CHECK_MS = 60_000;

/** A person's stack that operations of backups are asked for, and what is true of it afterwards. */
export class FaultedStack implements HeldStack {
  /** Without what restores keep. */
  private volumes = 0;
  /** The newest verified backup. */
  private newest = { id: '', data: '' };

  readonly id: string;
  readonly slug: string;
  readonly repository: string;

  private constructor(
    private readonly platform: TestPlatform,
    private readonly owner: PortalClient,
    { id, slug, repository }: HeldStack,
  ) {
    this.id = id;
    this.slug = slug;
    this.repository = repository;
  }

  /** A running one with a verified backup. */
  static async make(
    { platform, operator, backups }: { platform: TestPlatform; operator: PortalClient; backups: string },
    person: string,
  ): Promise<FaultedStack> {
    const owner = platform.client();
    await owner.signUp(operator, person, PASSWORD);
    const { stack, operation } = await owner.createStack();
    await owner.operationEnd(operation.id);
    await owner.signOn(stack.slug);
    await platform.stackSql(
      stack.slug,
      `create table large as select n, repeat(md5(n::text), 4) as filling from generate_series(1, ${ROWS}) n`,
    );
    const { id, slug } = stack;
    const made = new FaultedStack(platform, owner, { id, slug, repository: join(backups, id) });
    made.volumes = await made.volumesNow();
    await made.undisturbed();
    return made;
  }

  /** What makes the operation have something to do. `again`: where an earlier one of the kind has done it all. */
  async prepare(operation: FaultOperation, again: boolean): Promise<Before> {
    // What an engine's end broke is repaired by an operation of its own, which others do not wait behind.
    await waitFor(async () => ((await this.open()) === 0 ? true : undefined), {
      what: `an end of what is under way on ${this.slug}`,
      deadlineMs: OVER_MS,
    });
    if (operation === 'prune') {
      await this.ageOlder();
      if (again || (await this.expired()) === 0) {
        await this.undisturbed();
        await this.ageOlder();
      }
    } else {
      await this.change();
    }
    return { data: await this.data(), kept: (await this.epochs()).kept };
  }

  /** Gives the operation's id. */
  async ask(operation: FaultOperation): Promise<string> {
    const { slug } = this;
    if (operation === 'prune') {
      const prune = ['backup', 'prune', slug, `--confirm=${slug}`, '--detach'];
      const { document } = await this.platform.cli<OperationView>(...prune);
      if (document.error !== null) {
        throw new Error(`a prune was refused: ${document.error.message}`);
      }
      return document.data.id;
    }
    const path = operation === 'restore' ? 'restore' : 'backups';
    const body = operation === 'restore' ? { backup: this.newest.id, confirm: slug } : undefined;
    const asked = await this.owner.api<{ operation: OperationView }>('POST', `/stacks/${slug}/${path}`, body);
    return asked.operation.id;
  }

  /** Of that phase. */
  stepState(operationId: string, phase: string): Promise<string> {
    return this.platform.sql(
      `select state from operation_steps where operation_id = '${operationId}' and phase = '${phase}' and action is null`,
    );
  }

  /** Once the operation is over, well or not; while the portal's database is away it is asked again. */
  over(operationId: string, givenUp?: AbortSignal): Promise<Ended> {
    return waitFor(
      async () => {
        const row = await this.platform.sql(
          `select state, attempts, replace(coalesce(error ->> 'message', ''), E'\\n', ' ') from operations where id = '${operationId}'`,
        );
        const [state = '', attempts = '', ...error] = row.split('|');
        return ['queued', 'running'].includes(state)
          ? undefined
          : { state, attempts: Number(attempts), error: error.join('|') };
      },
      {
        what: `the end of an operation of ${this.slug}`,
        deadlineMs: OVER_MS,
        ...(givenUp === undefined ? {} : { signal: givenUp }),
      },
    );
  }

  /** After it ended well: what is now the newest backup, of the data of before it. */
  async settled(operation: FaultOperation, { data }: Before): Promise<void> {
    if (operation !== 'prune') {
      this.newest = { id: await this.newestBackup(), data };
    }
  }

  /**
   * What is not as it should be after the operation: the stack runs with its data, its repository passes restic's check
   * and has the backups that are listed and nothing else, and nothing is left over anywhere.
   */
  async findings(operation: FaultOperation, ended: Ended, before: Before): Promise<string[]> {
    const { slug, id, platform, repository } = this;
    const found: string[] = [];
    const same = (what: string, is: unknown, should: unknown): void => {
      if (JSON.stringify(is) !== JSON.stringify(should)) {
        found.push(`${what}: ${JSON.stringify(is)} instead of ${JSON.stringify(should)}`);
      }
    };
    const restores = operation === 'restore';
    same('the operation', [ended.state, ended.error], ['done', '']);
    same('the stack', await this.runs(), 'runs and is served');
    same('data', await this.data(), restores ? this.newest.data : before.data);
    const kept = restores ? before.kept + DATA_VOLUMES : operation === 'prune' ? before.kept : 0;
    same('kept and half-filled data', await this.epochs(), { kept, filling: '' });
    same('volumes', await this.volumesNow(), this.volumes + kept);
    const { containers } = await platform.objects();
    const beside = containers.filter((name) => name.includes(slug) && /scratch|courier/.test(name));
    same('beside it', beside, []);
    same('sessions', await none(() => this.sessions(), PASSING_MS), []);

    if (operation === 'prune') {
      same('backups no longer kept', await this.expired(), 0);
    }
    const stored = await platform.sql(
      `select part ->> 'snapshotId' from backups, jsonb_array_elements(parts) part where tenant_id = '${id}'`,
    );
    const listed = await readdir(join(repository, 'snapshots'));
    same('snapshots', listed.toSorted(), stored.split('\n').filter(Boolean).toSorted());
    same('locks', await locksIn(repository), []);
    same('half-written files', await halfWritten(repository), []);
    found.push(...(await this.wrongInRepository(operation === 'prune')));

    same('in the folder of secrets', await none(() => this.inAgent('/run/aviary-secrets', 'restic-'), PASSING_MS), []);
    const cache = '/var/lib/aviary/restic';
    same('beside the caches', await none(() => this.inAgent(cache, 'restic-check-cache-'), PASSING_MS), []);
    return found;
  }

  /** A backup that nothing happens to. */
  private async undisturbed(): Promise<void> {
    await this.change();
    const before = await this.data();
    const ended = await this.over(await this.ask('backup'));
    if (ended.state !== 'done') {
      throw new Error(`a backup nothing happened to ended ${ended.state}: ${ended.error}`);
    }
    await this.settled('backup', { data: before, kept: 0 });
  }

  private async open(): Promise<number> {
    const open = `tenant_id = '${this.id}' and state in ('queued', 'running')`;
    return Number(await this.platform.sql(`select count(*) from operations where ${open}`));
  }

  private async change(): Promise<void> {
    await this.platform.stackSql(this.slug, `insert into large select max(n) + 1, 'more' from large`);
  }

  private data(): Promise<string> {
    return this.platform.stackSql(
      this.slug,
      `select count(*) || ' rows ' || sum(hashtextextended(l::text, 0)) from large l`,
    );
  }

  /** All but the newest are past what the plan keeps. */
  private async ageOlder(): Promise<void> {
    await this.platform.sql(
      `update backups set taken_at = taken_at - interval '9 days', begun_at = begun_at - interval '9 days'
        where tenant_id = '${this.id}' and id <> '${this.newest.id}'`,
    );
  }

  /** How many a prune takes away: all of them but the newest, and but the newest that a backup of the portal knows. */
  private async expired(): Promise<number> {
    const count = await this.platform.sql(
      `select count(*) from backups where tenant_id = '${this.id}' and id <> '${this.newest.id}' and id is distinct from
         (select id from backups where tenant_id = '${this.id}' and state = 'verified'
             and verified_at <= (select max(taken_at) from portal_backups where state = 'verified')
           order by taken_at desc limit 1)`,
    );
    return Number(count);
  }

  private async newestBackup(): Promise<string> {
    const id = await this.platform.sql(
      `select id from backups where tenant_id = '${this.id}' and state = 'verified' order by taken_at desc limit 1`,
    );
    if (id === '') {
      throw new Error(`${this.slug} has no verified backup`);
    }
    return id;
  }

  /** Volumes that are kept, and the epoch that is being filled; empty where none is. */
  private async epochs(): Promise<{ kept: number; filling: string }> {
    const [kept = '', filling = ''] = (
      await this.platform.sql(
        `select cardinality(kept_epochs), coalesce(next_epoch::text, '') from tenants where id = '${this.id}'`,
      )
    ).split('|');
    return { kept: Number(kept) * DATA_VOLUMES, filling };
  }

  private async volumesNow(): Promise<number> {
    return (await this.platform.objects()).volumes.filter((name) => name.includes(this.slug)).length;
  }

  /** Of backups in its database; what lost its caller ends a moment after it. */
  private async sessions(): Promise<string[]> {
    const sessions = await this.platform.stackSql(
      this.slug,
      `select application_name || ' ' || state || ' ' || left(query, 60) from pg_stat_activity
        where application_name in ('psql', 'pg_dump', 'aviary-backup') and pid <> pg_backend_pid()`,
    );
    return sessions.split('\n').filter(Boolean);
  }

  /** Once it does, or what is seen instead. */
  private async runs(): Promise<string> {
    const look = async (): Promise<string> => {
      const { status } = await this.owner.stack(this.slug);
      const answer = await this.owner.ask(this.owner.dashboardHost(this.slug), '/ready');
      return status === 'running' && answer.status === 200
        ? 'runs and is served'
        : `is ${status}, its dashboard answers ${answer.status}`;
    };
    return waitFor(async () => ((await look()) === 'runs and is served' ? 'runs and is served' : undefined), {
      what: `${this.slug} being served`,
      deadlineMs: SOON_MS,
    }).catch(look);
  }

  private async inAgent(folder: string, begins: string): Promise<string[]> {
    const names = await docker('exec', this.platform.container('agent'), 'ls', folder);
    return names.split('\n').filter((name) => name.startsWith(begins));
  }

  private async wrongInRepository(pruned: boolean): Promise<string[]> {
    const secrets = await generatedSecrets(this.platform);
    const password = secrets.find(({ what }) => what === `repository/${this.id}`)?.text ?? '';
    const folder = await mkdtemp(join(tmpdir(), 'aviary-password-'));
    try {
      const file = join(folder, 'password');
      await writeFile(file, password, { mode: 0o600 });
      const options = ['-r', this.repository, '--password-file', file, '--no-cache'];
      const restic: OwnRestic = (...command) =>
        promisify(execFile)(backupTool('restic'), [...options, ...command], { timeout: CHECK_MS });
      return await wrongIn(restic, { pruned });
    } finally {
      await rm(folder, { recursive: true });
    }
  }
}
