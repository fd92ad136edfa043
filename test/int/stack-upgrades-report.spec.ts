import { IsNull } from 'typeorm';
import type { Accepted, BotResumption, LedgerFault, Resumption } from '#libs/contracts';
import { newId, OperationEntity, OperationStepEntity, ReleaseEntity, TenantEntity } from '#libs/db';
import { nextRelease } from '../support/next-release.js';
import { readyBackups } from '../support/ready-backups.js';
import { healthyProbes, stackWorld, type StackWorld } from '../support/stack-world.js';

jest.setTimeout(60_000);

let world: StackWorld;
let first: ReleaseEntity;
let second: ReleaseEntity;
const never = new AbortController().signal;
type RunOptions = NonNullable<Parameters<StackWorld['runner']>[0]>;

const db = () => world.database.dataSource.manager;
const tenant = (id: string): Promise<TenantEntity> => db().findOneByOrFail(TenantEntity, { id });

beforeAll(async () => {
  world = await stackWorld();
  [first, second] = await nextRelease(world);
});
afterAll(() => world.close());

async function run(id: string, tenantId: string, options: RunOptions = {}): Promise<OperationEntity> {
  await world.runner({ backups: readyBackups, ...options }).run(id, tenantId, never);
  return db().findOneByOrFail(OperationEntity, { id });
}

/** Runs what the platform ordered by itself. */
async function runOpen(tenantId: string, options: RunOptions): Promise<OperationEntity> {
  const { id } = await db().findOneByOrFail(OperationEntity, { tenantId, state: 'queued' });
  return run(id, tenantId, options);
}

const [one, two] = [newId(), newId()];
const bot = (id: string, change: Partial<BotResumption> = {}): BotResumption => {
  return { id, state: 'running', ran: true, resumed: true, reason: null, ...change };
};
const report = (change: Partial<Resumption> = {}): Resumption => {
  return { starting: false, failure: null, bots: [bot(one), bot(two)], ledger: [], ...change };
};
const stopped = { state: 'error', resumed: false, reason: 'Something unforeseen stopped the bot.' } as const;
const wrong: LedgerFault = { bot: one, what: 'cash', text: `The cash of bot ${one}: stored 1, by its trades 2.` };
/** What the runtime of each of the two releases says. */
const saying = (before: Resumption | null, after: () => Resumption | null): RunOptions['probes'] => ({
  ...healthyProbes,
  resumption: (facts) => Promise.resolve(facts.release === second.version ? after() : before),
});
const detailOf = async ({ operation: { id } }: Accepted, phase: string): Promise<string | null | undefined> =>
  (await db().findOneBy(OperationStepEntity, { operationId: id, phase, action: IsNull() }))?.detail;

/** A new stack of the first release, and how its upgrade to the second one ended. */
async function upgraded(probes: RunOptions['probes'], change: Partial<TenantEntity> = {}) {
  const { stack, operation } = await world.stacks.create(await world.account(), { template: 'standard' });
  expect(await run(operation.id, stack.id)).toMatchObject({ state: 'done' });
  await db().update(TenantEntity, { id: stack.id }, { slug: stack.slug, ...change });
  const accepted = await world.upgrades.upgrade(await world.operator(), stack.slug, { release: second.id });
  return { stack, accepted, ended: await run(accepted.operation.id, stack.id, { probes }) };
}

it('FM-16 rolls back a release under which bots that ran do not resume, and says how many', async () => {
  const silent = saying(report(), () => report({ bots: [bot(one, stopped), bot(two, stopped)] }));
  const { stack, ended } = await upgraded(silent);
  expect(ended).toMatchObject({
    state: 'failed',
    error: {
      code: 'HEALTH_GATE_FAILED',
      message: '0 of 2 bots resumed: Something unforeseen stopped the bot.',
      details: { why: 'not_resumed', expected: 2, resumed: 0, bots: [{ id: one }, { id: two }] },
    },
  });
  // Of the way back nothing is asked: there is no other.
  expect(await runOpen(stack.id, { probes: silent })).toMatchObject({ kind: 'rollback', state: 'done' });
  expect(await tenant(stack.id)).toMatchObject({ releaseId: first.id, observed: 'running', reason: null });
});

it('FM-16 misses also a bot of which the rows of the new release know nothing', async () => {
  const { ended } = await upgraded(saying(report(), () => report({ bots: [bot(one)] })));
  expect(ended.error?.message).toBe(`1 of 2 bots resumed: bot ${two} is not there any more.`);
});

it('FM-16 rolls back a release that leaves a ledger which does not agree, and none whose did not before', async () => {
  const after = (): Resumption => report({ ledger: [wrong] });
  const { ended } = await upgraded(saying(report(), after));
  expect(ended).toMatchObject({
    state: 'failed',
    error: {
      message: `The ledger is not consistent: The cash of bot ${one}: stored 1, by its trades 2.`,
      details: { why: 'ledger', expected: 2, resumed: 2, ledger: [wrong.text] },
    },
  });
  expect((await upgraded(saying(after(), after))).ended).toMatchObject({ state: 'done' });
});

it('waits until the start is over, and says how it stood before and how it stands', async () => {
  let asked = 0;
  const after = (): Resumption | null => {
    asked += 1;
    return asked === 1 ? null : report(asked === 2 ? { starting: true, ledger: null, bots: [] } : {});
  };
  const { accepted, ended } = await upgraded(saying(report(), after));
  expect(ended).toMatchObject({ state: 'done' });
  expect(asked).toBe(3);
  expect(await detailOf(accepted, 'safeguard')).toBe('proven; bots that run: 2');
  expect(await detailOf(accepted, 'health')).toBe('2 of 2 bots resumed, ledger consistent');
});

it('counts by the new runtime’s rows where the one before did not say, and nothing of a stack that may not trade', async () => {
  const after = (): Resumption => report({ bots: [bot(one), bot(two, stopped)] });
  expect((await upgraded(saying(null, after))).ended.error?.message).toMatch(/^1 of 2 bots resumed: /);
  const held = await upgraded(saying(null, after), { tradingHeldSince: new Date() });
  expect(held.ended).toMatchObject({ state: 'done' });
});

it('is not asked of a release whose runtime gives none', async () => {
  const { resumes, ...aviary } = (first.definition as { aviary: { resumes: boolean } }).aviary;
  expect(resumes).toBe(true);
  await db().update(ReleaseEntity, { id: second.id }, { definition: { ...second.definition, aviary } as object });
  try {
    const { ended } = await upgraded(
      saying(report(), () => {
        throw new Error('it was asked');
      }),
    );
    expect(ended).toMatchObject({ state: 'done' });
  } finally {
    await db().update(ReleaseEntity, { id: second.id }, { definition: second.definition as object });
  }
});
