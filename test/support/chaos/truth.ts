import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Bot } from '#libs/contracts';
import { BOOKS, type Books } from '../data-plane.js';
import { docker } from '../engine.js';
import { engineObjects, type EngineObjects, type TestPlatform } from '../platform.js';
import { LEDGER, ledgerFaults, type Ledger } from '../runtime-books.js';
import type { Customer } from './customers.js';
import { SERVICES } from './schedule.js';

export interface Violation {
  invariant: 'wanted = observed' | 'no orphans' | 'no open operations' | 'ledgers';
  detail: string;
}

interface TenantRow {
  id: string;
  slug: string;
  desired: string;
  observed: string;
  reason: string | null;
  holds: string[];
}

const SLUG = /-(u[a-z2-7]{6})(?=-|$)/;
/** Of each stack: a network, a container and a secret volume for each service, and the two volumes with data. */
const VOLUMES = 5;

export interface ChaosWorld {
  platform: TestPlatform;
  customers: readonly Customer[];
  /** What the engine had before the first stack: the portal's own. */
  portal: EngineObjects;
}

/** What of the promises is not true right now. Throws where one cannot be looked at. */
export async function violations({ platform, customers, portal }: ChaosWorld): Promise<Violation[]> {
  const rows = JSON.parse(
    await platform.sql(
      `select coalesce(json_agg(t), '[]') from (
         select id, slug, desired, observed, reason, array(select reason from holds h where h.tenant_id = t.id) as holds
           from tenants t) as t`,
    ),
  ) as TenantRow[];
  const found = await Promise.all([
    openOperations(platform),
    ...rows.map((row) => stackAsWanted(platform, row, customers)),
    orphans(platform, rows, portal),
    ...customers.map((customer) => ledger(platform, customer).catch((error: unknown) => unread(customer, error))),
  ]);
  return [...wishes(rows, customers), ...found.flat()];
}

async function openOperations(platform: TestPlatform): Promise<Violation[]> {
  const open = await platform.sql(
    `select slug, kind, state, attempts, created_at from operations where state in ('queued', 'running')`,
  );
  return open.split('\n').flatMap((detail) => (detail === '' ? [] : [{ invariant: 'no open operations', detail }]));
}

/** The rows say what was accepted, and nobody has what they did not ask for. */
function wishes(rows: readonly TenantRow[], customers: readonly Customer[]): Violation[] {
  const wrong = (detail: string): Violation => ({ invariant: 'wanted = observed', detail });
  const bySlug = new Map(rows.map((row) => [row.slug, row]));
  const expected = new Set(customers.flatMap(({ stack }) => (stack ? [stack.slug] : [])));
  return [
    ...customers.flatMap(({ number, stack, gone, sure }) => [
      ...gone.filter((slug) => bySlug.has(slug)).map((slug) => wrong(`${slug} was destroyed and is there`)),
      ...(stack && sure && bySlug.get(stack.slug)?.desired !== stack.wanted
        ? [
            wrong(
              `customer ${number} wants ${stack.slug} ${stack.wanted}, its row says ${bySlug.get(stack.slug)?.desired ?? 'nothing'}`,
            ),
          ]
        : []),
    ]),
    ...(customers.every(({ sure }) => sure)
      ? rows.filter(({ slug }) => !expected.has(slug)).map(({ slug }) => wrong(`nobody asked for ${slug}`))
      : []),
  ];
}

async function stackAsWanted(
  platform: TestPlatform,
  { id, slug, desired, observed, reason, holds }: TenantRow,
  customers: readonly Customer[],
): Promise<Violation[]> {
  const wrong: string[] = [];
  const network = `aviary-${platform.facts.prefix}-${slug}`;
  const own = await engineObjects('--filter', `label=aviary.tenant=${id}`);
  const have = [own.containers.length, own.networks.length, own.volumes.length].join(' ');
  const wanted = [SERVICES.length, 1, VOLUMES].join(' ');
  if (desired === 'running' ? have !== wanted : own.volumes.length !== VOLUMES) {
    wrong.push(`containers, networks and volumes: ${have}, not ${wanted}`);
  }
  if (holds.length > 0) {
    wrong.push(`held: ${holds.join(', ')} (${reason ?? 'no reason'})`);
  }
  if (observed !== desired) {
    wrong.push(`seen as ${observed} (${reason ?? 'no reason'})`);
  }
  const inspected = JSON.parse(own.containers.length === 0 ? '[]' : await docker('inspect', ...own.containers)) as {
    Name: string;
    State: { Status: string };
    NetworkSettings: { Networks: Record<string, unknown> };
  }[];
  for (const { Name, State, NetworkSettings } of inspected) {
    if ((State.Status === 'running') !== (desired === 'running')) {
      wrong.push(`${Name} is ${State.Status}`);
    }
    const networks = Object.keys(NetworkSettings.Networks);
    if (
      desired === 'running' &&
      (!networks.includes(network) || networks.length !== (Name.endsWith('-runtime') ? 2 : 1))
    ) {
      wrong.push(`${Name} is on ${networks.join(', ') || 'no network'}`);
    }
  }
  const owner = customers.find(({ stack }) => stack?.slug === slug)?.client;
  if (owner) {
    const host = owner.dashboardHost(slug);
    const seen = await owner.ask(host, '/ready');
    if (desired === 'running' && seen.status !== 200) {
      await owner.signOn(slug);
    }
    const { status } = await owner.ask(host, '/ready');
    if ((status === 200) !== (desired === 'running')) {
      wrong.push(`its owner is answered ${status}`);
    }
  }
  return wrong.map((detail) => ({ invariant: 'wanted = observed', detail: `${slug} is to be ${desired}: ${detail}` }));
}

/** Whatever is on the engine or in the route folder belongs to the portal or to a stack that is there. */
async function orphans(
  platform: TestPlatform,
  rows: readonly TenantRow[],
  portal: EngineObjects,
): Promise<Violation[]> {
  const slugs = new Set(rows.map(({ slug }) => slug));
  const all = await engineObjects();
  const edge = new RegExp(`^aviary-${platform.facts.prefix}-edge-\\d+$`);
  const strange = (kind: keyof EngineObjects): string[] =>
    all[kind]
      .filter((name) => {
        const slug = SLUG.exec(name)?.[1];
        return slug === undefined ? !portal[kind].includes(name) && !edge.test(name) : !slugs.has(slug);
      })
      .map((name) => `${kind.slice(0, -1)} ${name}`);
  const routes = (await readdir(join(platform.facts.dataDir, 'routes')))
    .filter((name) => /^u[a-z2-7]{6}\.yml$/.test(name) && !slugs.has(name.slice(0, 7)))
    .map((name) => `route ${name}`);
  // The platform's own list: what it names and is there is one, whatever was found here.
  const there = new Set(Object.values(all).flat());
  const listed = (await platform.sql('select name from orphans')).split('\n').filter((name) => there.has(name));
  return [
    ...strange('containers'),
    ...strange('networks'),
    ...strange('volumes'),
    ...routes,
    ...listed.map((name) => `${name}, on the platform’s list`),
  ].map((detail) => ({ invariant: 'no orphans', detail }));
}

/** A database that is away keeps nobody from being told of everything else. */
function unread({ stack }: Customer, error: unknown): Violation[] {
  const [said] = (error instanceof Error ? error.message : String(error)).trim().split('\n').slice(-1);
  return [{ invariant: 'ledgers', detail: `${stack?.slug ?? ''}: cannot be read: ${said ?? ''}` }];
}

/**
 * The books of a bot against the simulated exchange's own tables and against themselves, in one look of one moment;
 * nothing that was there before the faults is gone; and the bot trades on. Of a stack that runs: the others are
 * started for it at the end.
 */
async function ledger(platform: TestPlatform, { stack, trades, client }: Customer): Promise<Violation[]> {
  if (!stack || !trades || stack.wanted !== 'running') {
    return [];
  }
  const { slug } = stack;
  const books = JSON.parse(await platform.stackSql(slug, LEDGER)) as Ledger;
  // Held for a restart that came to nothing, it goes on by itself.
  const held = books.bots.filter(({ stopped, grid }) => !stopped && grid.paused).map(({ id }) => `bot ${id} is held`);
  const now = JSON.parse(await platform.stackSql(slug, BOOKS)) as Books;
  const lost = (['taken', 'traded'] as const).flatMap((kind) => {
    const there = new Set(now[kind]);
    return trades.before[kind].filter((one) => !there.has(one)).map((one) => `${kind} ${one} is gone`);
  });
  const { body, status } = await client.ask<Partial<Bot>>(client.dashboardHost(slug), `/api/v1/bots/${trades.bot}`);
  const idle = ['running', 'waiting'].includes(body?.status ?? '') ? [] : [`the bot is ${body?.status ?? status}`];
  return [...ledgerFaults(books), ...held, ...lost, ...idle].map((detail) => ({
    invariant: 'ledgers',
    detail: `${slug}: ${detail}`,
  }));
}
