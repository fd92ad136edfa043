import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from '#libs/async';
import { randomToken } from '#libs/crypto';
import type { BackupList, BackupView, OperationView } from '#libs/contracts';
import { backupTool } from '../support/backup-tools.js';
import { engineEndpoint, engineSocket } from '../support/engine.js';
import { memoryOf, type PeakMemory } from '../support/peak-memory.js';
import type { TestPlatform } from '../support/platform.js';
import type { PortalClient } from '../support/portal-client.js';
import { withOwnPlatform } from './own-platform.js';
import { atMost, median, round, type BenchResult } from './report.js';

interface Options {
  /** Of the database's table, in MB as its rows are long. */
  megabytes: number;
  /** Stacks, each with its own first backup: by hand and by Aviary in turn. */
  rounds: number;
  say: (text: string) => void;
}

/** Of a row: a number and eight times 32 digits nobody can guess from each other. */
const ROW_BYTES = 270;
const DIGITS = Array.from({ length: 8 }, (_, at) => `md5(n::text || '${'abcdefgh'[at]}')`).join(' || ');
/** So many take a container of a part of a processor some seconds. */
const ROWS_AT_ONCE = 250_000;
const LONGEST_MS = 30 * 60_000;

/** A backup and a restore of a large database, beside the same by the tools' own hands on the same machine. */
export function backup({ megabytes, rounds, say }: Options): Promise<BenchResult> {
  const rows = Math.round((megabytes * 1e6) / ROW_BYTES);
  // Straight to the engine, as by hand: the door that tests shut costs as much as a reader of its own.
  const settings = { AVIARY_ENGINE_SOCKET: engineSocket() };
  return withOwnPlatform(settings, async ({ platform, customer }): Promise<BenchResult> => {
    await platform.sql(
      `update plans set limits = limits || '{"memoryMb": 2048, "cpus": 2, "diskGb": 30}'::jsonb where code = 'free'`,
    );
    const home = await mkdtemp(join(tmpdir(), 'aviary-bench-'));
    const found: Round[] = [];
    try {
      for (let at = 0; at < rounds; at += 1) {
        const { stack, operation } = await customer.createStack();
        await customer.operationEnd(operation.id);
        say(`round ${at + 1} of ${rounds}: ${rows} rows into ${stack.slug}`);
        // Its repository is made with the first: that of by hand is made beforehand too.
        await take(platform, customer, stack.slug);
        await platform.stackSql(stack.slug, 'create table filling (n int, digits text)');
        for (let from = 1; from <= rows; from += ROWS_AT_ONCE) {
          await insert(platform, stack.slug, from, Math.min(rows, from + ROWS_AT_ONCE - 1));
        }
        await platform.stackSql(stack.slug, 'vacuum analyze filling');
        const hand = await byHand(home, platform, stack.slug);
        found.push(await measured({ platform, customer, slug: stack.slug, rows, hand, handFirst: at % 2 === 0, say }));
        await customer.destroy(stack.slug);
        await rm(hand.repository, { recursive: true });
      }
    } finally {
      await rm(home, { recursive: true, force: true });
    }
    return result(found, megabytes);
  });
}

const insert = (platform: TestPlatform, slug: string, from: number, to: number): Promise<string> =>
  platform.stackSql(slug, `insert into filling select n, ${DIGITS} from generate_series(${from}, ${to}) n`);

interface Round {
  handDump: number;
  aviaryDump: number;
  aviaryProve: number;
  handLoad: number;
  aviaryLoad: number;
  /** Of the first backup's bytes in the repository, those that the next ones added. */
  appended: number;
  scattered: number;
  agent: PeakMemory;
}

interface Hand {
  repository: string;
  dump: () => Promise<number>;
  load: () => Promise<number>;
}

/** The same tools in a shell: into a repository of its own, and back into an empty database of the same server. */
async function byHand(home: string, platform: TestPlatform, slug: string): Promise<Hand> {
  const repository = join(home, slug);
  const password = join(home, `${slug}.password`);
  await writeFile(password, randomToken(), { mode: 0o600 });
  const restic = `${backupTool('restic')} -q -r ${repository} --password-file ${password} --cache-dir ${join(home, 'cache')}`;
  const exec = `docker -H ${engineEndpoint()} exec -i ${platform.service(slug, 'postgres')}`;
  const timed = async (script: string): Promise<number> => {
    const began = performance.now();
    await shell(script);
    return (performance.now() - began) / 1_000;
  };
  await shell(`${restic} init --repository-version 2`);
  return {
    repository,
    dump: () =>
      timed(`${exec} pg_dump -Fc -Z0 -U aviary -d aviary | ${restic} backup --stdin --stdin-filename postgres.dump`),
    load: async () => {
      await shell(`${exec} psql -qX -U aviary -d aviary -c 'create database by_hand'`);
      const took = await timed(
        `${restic} dump latest /postgres.dump | ${exec} pg_restore --exit-on-error --no-owner -U aviary -d by_hand`,
      );
      await shell(`${exec} psql -qX -U aviary -d aviary -c 'drop database by_hand'`);
      return took;
    },
  };
}

async function shell(script: string): Promise<void> {
  const child = spawn('bash', ['-o', 'pipefail', '-c', script], { stdio: ['ignore', 'ignore', 'inherit'] });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0) {
    throw new Error(`ended with ${code}: ${script}`);
  }
}

interface Measuring {
  platform: TestPlatform;
  customer: PortalClient;
  slug: string;
  rows: number;
  hand: Hand;
  handFirst: boolean;
  say: (text: string) => void;
}

async function measured(measuring: Measuring): Promise<Round> {
  const [round_, agent] = await memoryOf(measuring.platform.container('agent'), () => timed(measuring));
  return { ...round_, agent };
}

async function timed({
  platform,
  customer,
  slug,
  rows,
  hand,
  handFirst,
  say,
}: Measuring): Promise<Omit<Round, 'agent'>> {
  const early = handFirst ? await hand.dump() : null;
  const taken = await take(platform, customer, slug);
  const handDump = early ?? (await hand.dump());
  say(`by hand ${round(handDump, 1)} s; by Aviary ${round(taken.dump, 1)} s, proven in ${round(taken.prove, 1)} s`);
  await insert(platform, slug, rows + 1, Math.round(rows * 1.01));
  const appended = await take(platform, customer, slug);
  await platform.stackSql(slug, `update filling set digits = reverse(digits) where n % 100 = 0`);
  const scattered = await take(platform, customer, slug);
  const handLoad = await hand.load();
  const aviaryLoad = await restore(platform, customer, slug, taken.id);
  say(`back by hand ${round(handLoad, 1)} s, by Aviary ${round(aviaryLoad, 1)} s`);
  return {
    handDump,
    aviaryDump: taken.dump,
    aviaryProve: taken.prove,
    handLoad,
    aviaryLoad,
    appended: appended.added / taken.added,
    scattered: scattered.added / taken.added,
  };
}

interface Taken {
  id: string;
  /** Seconds until it was stored; and from there until it was proven. */
  dump: number;
  prove: number;
  added: number;
}

async function take(platform: TestPlatform, customer: PortalClient, slug: string): Promise<Taken> {
  const { operation } = await customer.api<{ operation: OperationView }>('POST', `/stacks/${slug}/backups`);
  await over(customer, operation.id);
  const { items } = await customer.api<BackupList>('GET', `/stacks/${slug}/backups`);
  const made = items.find(({ operationId }) => operationId === operation.id) as BackupView;
  const phases = await phasesOf(platform, operation.id);
  return {
    id: made.id,
    dump: (phases.get('dump') ?? Number.NaN) + (phases.get('store') ?? Number.NaN),
    prove: phases.get('prove') ?? Number.NaN,
    added: made.addedBytes ?? Number.NaN,
  };
}

/** Seconds of its loading and comparing, without the safety backup before. */
async function restore(platform: TestPlatform, customer: PortalClient, slug: string, id: string): Promise<number> {
  const { operation } = await customer.api<{ operation: OperationView }>('POST', `/stacks/${slug}/restore`, {
    backup: id,
    confirm: slug,
  });
  await over(customer, operation.id);
  return (await phasesOf(platform, operation.id)).get('load') ?? Number.NaN;
}

async function over(customer: PortalClient, id: string): Promise<void> {
  const end = await waitFor(
    async () => {
      const view = await customer.api<OperationView>('GET', `/operations/${id}`);
      return ['queued', 'running'].includes(view.state) ? undefined : view;
    },
    { what: 'the end of the operation', deadlineMs: LONGEST_MS, intervalMs: 500, maxIntervalMs: 500 },
  );
  if (end.state !== 'done') {
    throw new Error(`${end.kind} of ${end.slug} ended ${end.state}: ${JSON.stringify(end.error)}`);
  }
}

async function phasesOf(platform: TestPlatform, operationId: string): Promise<Map<string, number>> {
  const rows = await platform.sql(
    `select phase || ' ' || extract(epoch from finished_at - started_at) from operation_steps
      where operation_id = '${operationId}' and action is null and finished_at is not null`,
  );
  return new Map(rows.split('\n').map((row) => [row.split(' ')[0] ?? '', Number(row.split(' ')[1])]));
}

function result(found: readonly Round[], megabytes: number): BenchResult {
  const of = (figure: (one: Round) => number, digits: number): number => round(median(found.map(figure)), digits);
  const dumpRatio = of((one) => one.aviaryDump / one.handDump, 2);
  const loadRatio = of((one) => one.aviaryLoad / one.handLoad, 2);
  const appended = of((one) => one.appended * 100, 1);
  const scattered = of((one) => one.scattered * 100, 1);
  const agent = round(Math.max(...found.map((one) => one.agent.heldMib)), 1);
  const groups = found.flatMap((one) => one.agent.groupMib ?? []);
  const group = groups.length === found.length ? round(Math.max(...groups), 1) : null;
  const seconds = {
    dump_by_hand: of((one) => one.handDump, 1),
    dump_by_aviary: of((one) => one.aviaryDump, 1),
    prove_by_aviary: of((one) => one.aviaryProve, 1),
    load_by_hand: of((one) => one.handLoad, 1),
    load_by_aviary: of((one) => one.aviaryLoad, 1),
  };
  return {
    metrics: {
      megabytes,
      rounds: found.length,
      ...seconds,
      scattered_percent: scattered,
      ...(group === null ? {} : { agent_group_peak_mib: group }),
    },
    goals: [
      atMost('dumped and stored, against pg_dump | restic by hand', '×', 1.1, dumpRatio),
      atMost('loaded and compared, against restic | pg_restore by hand', '×', 1.2, loadRatio),
      atMost('added by a second backup after 1 % of rows were appended', '% of the first', 5, appended),
      atMost('memory of the agent with restic in it', 'MiB', 150, agent),
    ],
    lines: [
      `a table of ${megabytes} MB, ${found.length} stacks, medians:`,
      ...Object.entries(seconds).map(([name, value]) => `${name.replaceAll('_', ' ').padEnd(18)} ${value} s`),
      `after 1 % of rows were changed all over it, a backup adds ${scattered} % of the first`,
      group === null
        ? 'the kernel here keeps no peak of a control group'
        : `the agent’s control group had ${group} MiB at most, with what of its files the kernel keeps while there is room`,
    ],
  };
}
