import { setTimeout as pause } from 'node:timers/promises';
import { booksOf, tradingBot } from '../data-plane.js';
import { engineObjects, type TestPlatform } from '../platform.js';
import type { PortalClient } from '../portal-client.js';
import { live, type Asked, type Customer } from './customers.js';
import { makeFault, needsStack } from './faults.js';
import { FAULTS, scheduleOf, type Fault, type FaultKind } from './schedule.js';
import { violations, type ChaosWorld, type Violation } from './truth.js';

export interface ChaosOptions {
  seed: number;
  /** Of faults and customers; after it there is only what repairs itself. */
  seconds: number;
  stacks: number;
  /** Most seconds until everything is as wanted. */
  settle: number;
  say: (text: string) => void;
}

export interface ChaosReport {
  /** How often each kind of fault was really made, and what could not be. */
  made: Record<FaultKind, number>;
  missed: string[];
  asked: Asked;
  /** Seconds from the last fault until nothing was violated; what still was then. */
  settled: number;
  violations: Violation[];
  /** Trades of all bots that were compared at the end. */
  trades: number;
}

/** Of three customers one has a bot that trades, one is content, and one comes and goes. */
const KINDS = ['trades', 'content', 'busy'] as const;
const kindOf = (number: number): (typeof KINDS)[number] => KINDS[number % KINDS.length] ?? 'busy';
const PASSWORD = 'correct horse battery staple';
const LOOK_EVERY_MS = 2_000;
/** An operation on a calm machine takes a fifth of it. */
const SLOW_SECONDS = 30;

/** Breaks a whole platform by a seeded schedule while its customers use it, then looks whether it became well by itself. */
export async function chaos(
  platform: TestPlatform,
  operator: PortalClient,
  { seed, seconds, stacks, settle, say }: ChaosOptions,
): Promise<ChaosReport> {
  const portal = await engineObjects();
  const customers = await Promise.all(
    Array.from({ length: stacks }, (_, number) => joined(platform, operator, number)),
  );
  await Promise.all(customers.filter(({ number }) => kindOf(number) === 'trades').map((one) => trading(platform, one)));
  say(`${stacks} stacks run, of ${customers.filter(({ trades }) => trades).length} a bot trades; seed ${seed}`);
  const world: ChaosWorld = { platform, customers, portal };
  const asked: Asked = { accepted: 0, repeated: 0, refused: new Map(), ended: new Map() };
  const over = new AbortController();
  const began = performance.now();
  const lives = customers.filter(({ content }) => !content).map((customer) => live(customer, seed, asked, over.signal));
  const { made, missed } = await faults(world, scheduleOf(seed, seconds, stacks), say);
  await pause(Math.max(0, seconds * 1_000 - (performance.now() - began)));
  over.abort(new Error('the faults are over'));
  await Promise.all(lives);
  const before = performance.now();
  let left = await violationsAfter(settle, world, say);
  const settled = (performance.now() - before) / 1_000;
  (await slowOperations(platform)).forEach((row) => say(`slow or failed: ${row}`));
  if (left.length === 0) {
    // The books of a stopped stack are closed: its owner opens it, and everything must be true once more.
    for (const { client, stack } of customers.filter(({ trades, stack: one }) => trades && one?.wanted === 'stopped')) {
      if (stack) {
        stack.wanted = 'running';
        await client.order(stack.slug, 'start');
      }
    }
    left = await violationsAfter(settle, world, say);
  }
  const trades = await Promise.all(
    left.length > 0
      ? []
      : customers.flatMap(({ stack, trades: own }) =>
          stack && own ? [platform.stackSql(stack.slug, 'select count(*) from paper_trades').then(Number)] : [],
        ),
  );
  return { made, missed, asked, settled, violations: left, trades: trades.reduce((sum, each) => sum + each, 0) };
}

async function joined(platform: TestPlatform, operator: PortalClient, number: number): Promise<Customer> {
  const client = platform.client();
  const name = `chaos${number}`;
  await client.signUp(operator, name, PASSWORD);
  const { stack, operation } = await client.createStack();
  await client.operationEnd(operation.id);
  return {
    number,
    client,
    name,
    password: PASSWORD,
    stack: { slug: stack.slug, id: stack.id, wanted: 'running' },
    gone: [],
    content: kindOf(number) === 'content',
    trades: null,
    sure: true,
  };
}

async function trading(platform: TestPlatform, customer: Customer): Promise<void> {
  const { client, stack } = customer;
  if (stack) {
    await client.signOn(stack.slug);
    const bot = await tradingBot(platform, { owner: client, slug: stack.slug });
    customer.trades = { bot, before: await booksOf(platform, stack.slug) };
  }
}

async function faults(
  { platform, customers }: ChaosWorld,
  schedule: readonly Fault[],
  say: (text: string) => void,
): Promise<Pick<ChaosReport, 'made' | 'missed'>> {
  const began = performance.now();
  const since = (): number => (performance.now() - began) / 1_000;
  const made = Object.fromEntries(FAULTS.map((kind) => [kind, 0])) as Record<FaultKind, number>;
  const missed: string[] = [];
  for (const fault of schedule) {
    await pause(Math.max(0, fault.at - since()) * 1_000);
    const from = [...customers.slice(fault.customer), ...customers.slice(0, fault.customer)];
    const slugs = from.flatMap(({ stack }) => (stack?.wanted === 'running' ? [stack.slug] : []));
    const at = `${since().toFixed(1).padStart(6)} s  ${fault.kind}`;
    const done = await firstMet(platform, fault, needsStack(fault.kind) ? slugs : ['']);
    say(`${at}${done.what === null ? ` not done: ${done.why}` : `: ${done.what}`}`);
    if (done.what === null) {
      missed.push(`${fault.kind}: ${done.why}`);
    } else {
      made[fault.kind] += 1;
    }
  }
  return { made, missed };
}

/** Makes it of the first of these stacks that it can be made of: what one of them should meet may just be in the making. */
async function firstMet(
  platform: TestPlatform,
  fault: Fault,
  slugs: readonly string[],
): Promise<{ what: string | null; why: string }> {
  let why = 'no stack is to run';
  for (const slug of slugs) {
    try {
      return { what: await makeFault(platform, fault, slug), why: '' };
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      why = text.split('\n').findLast((line) => line.trim() !== '') ?? '';
    }
  }
  return { what: null, why };
}

/** What failed or took long, with the phase in which it was at the end, for whoever wonders why settling took its time. */
async function slowOperations(platform: TestPlatform): Promise<string[]> {
  const rows = await platform.sql(
    `select slug, kind, state, attempts || ' attempts', round(extract(epoch from coalesce(finished_at, now()) - created_at)) || ' s',
            (select string_agg(phase || ' ' || round(extract(epoch from s.finished_at - s.started_at)) || ' s', ', ' order by seq)
               from operation_steps s where s.operation_id = o.id and s.action is null and s.started_at is not null),
            coalesce(error->>'message', '')
       from operations o
      where state = 'failed' or coalesce(finished_at, now()) - created_at > interval '${SLOW_SECONDS} s' order by created_at`,
  );
  return rows.split('\n').filter(Boolean);
}

/** Looks again and again until nothing is violated; gives what still is when the time is over. */
async function violationsAfter(settle: number, world: ChaosWorld, say: (text: string) => void): Promise<Violation[]> {
  const until = performance.now() + settle * 1_000;
  for (;;) {
    const left = await violations(world).catch((error: unknown): Violation[] => [
      {
        invariant: 'wanted = observed',
        detail: `cannot be looked at: ${error instanceof Error ? error.message : String(error)}`,
      },
    ]);
    if (left.length === 0 || performance.now() > until) {
      return left;
    }
    say(
      `${Math.round((until - performance.now()) / 1_000)} s left: ${left.length} not as it should be, such as ${left[0]?.detail}`,
    );
    await pause(LOOK_EVERY_MS);
  }
}
