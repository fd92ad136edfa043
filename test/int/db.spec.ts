import pg from 'pg';
import {
  AccountEntity,
  assertPlatform,
  createDataSource,
  type Database,
  isDatabaseAway,
  migrate,
  newId,
  PlanEntity,
  tx,
  violatedUnique,
} from '#libs/db';
import { migratePlatform } from '#libs/jobs';
import { stackLimitsSchema } from '#libs/contracts';
import { appPassword, emptyDatabase, testDatabase, type TestDatabase } from '../support/postgres.js';

// Several test files and an engine may share two cores.
jest.setTimeout(60_000);

describe('database', () => {
  let db: TestDatabase;
  beforeAll(async () => {
    db = await testDatabase();
  });
  afterAll(() => db.close());

  it('names the platform it belongs to and refuses another', async () => {
    await expect(assertPlatform(db.dataSource, db.platformId)).resolves.toBeUndefined();
    await expect(assertPlatform(db.dataSource, newId())).rejects.toMatchObject({ code: 'PLATFORM_MISMATCH' });
    await expect(migrate(db.ownerUrl, { platformId: newId(), appPassword: appPassword() })).rejects.toMatchObject({
      code: 'PLATFORM_MISMATCH',
    });
  });

  it('can be migrated again, by several at once, and nothing changes', async () => {
    const options = { platformId: db.platformId, appPassword: appPassword() };
    const results = await Promise.all([1, 2, 3].map(() => migratePlatform(db.ownerUrl, options)));
    expect(results.map((result) => result.ran)).toEqual([[], [], []]);
    await expect(db.dataSource.query('select 1')).resolves.toHaveLength(1);
  });

  it('is made from nothing by two at once', async () => {
    const empty = await emptyDatabase();
    try {
      const options = { platformId: newId(), appPassword: appPassword() };
      const results = await Promise.all([1, 2].map(() => migratePlatform(empty.ownerUrl, options)));
      expect(results.filter((result) => result.ran.length > 0)).toHaveLength(1);
    } finally {
      await empty.close();
    }
  });

  it('ends a statement that never would, but none of who migrates', async () => {
    const bound = async (database: Database): Promise<unknown> =>
      (await database.query<{ statement_timeout: string }[]>('show statement_timeout'))[0]?.statement_timeout;
    expect(await bound(db.dataSource)).toBe('2min');
    const patient = await createDataSource(db.ownerUrl, { poolSize: 1, patient: true }).initialize();
    try {
      expect(await bound(patient)).toBe('0');
    } finally {
      await patient.destroy();
    }
  });

  it('lets the app role in with its password only', async () => {
    const url = new URL(db.url);
    url.password = 'another';
    const client = new pg.Client({ connectionString: url.href });
    await expect(client.connect()).rejects.toThrow('password authentication failed');
  });

  it('has four plans whose limits the contract accepts', async () => {
    const plans = await db.dataSource.getRepository(PlanEntity).find({ order: { position: 'ASC' } });
    expect(plans.map((plan) => [plan.code, plan.priceMinor, plan.profitShareBps, plan.maxPositionBps])).toEqual([
      ['free', 0, 3000, 500],
      ['basic', 2900, 2000, 1500],
      ['pro', 9900, 1000, 3000],
      ['premium', 29900, 500, 5000],
    ]);
    for (const plan of plans) {
      expect(stackLimitsSchema.parse(plan.limits)).toEqual(plan.limits);
      expect(plan.stacks).toBeGreaterThan(0);
    }
  });

  it('tells a taken name and an absent server from other errors', async () => {
    const plan = await db.dataSource.getRepository(PlanEntity).findOneByOrFail({ code: 'free' });
    const account = (email: string, state: 'active' | 'pending' = 'active') => ({
      id: newId(),
      email,
      username: `u${newId().slice(-10)}`,
      passwordHash: 'x',
      role: 'subscriber' as const,
      state,
      planId: plan.id,
      createdAt: new Date(),
      updatedAt: new Date(),
    });
    await tx(db.dataSource, (inTx) => inTx.insert(AccountEntity, account('ana@example.org')));
    const again = tx(db.dataSource, (inTx) => inTx.insert(AccountEntity, account('ana@example.org')));
    expect(violatedUnique(await again.catch((error: unknown) => error))).toBe('uq_accounts_email');
    // An address is taken by whoever confirmed it; those who only named it stand in nobody's way.
    for (const email of ['ana@example.org', 'ana@example.org']) {
      await tx(db.dataSource, (inTx) => inTx.insert(AccountEntity, account(email, 'pending')));
    }
    const upper = tx(db.dataSource, (inTx) => inTx.insert(AccountEntity, account('Ana2@example.org')));
    const error: unknown = await upper.catch((reason: unknown) => reason);
    expect(violatedUnique(error)).toBeNull();
    expect(isDatabaseAway(error)).toBe(false);
    const nobody = new pg.Client({ connectionString: 'postgres://a:b@127.0.0.1:1/x' });
    expect(isDatabaseAway(await nobody.connect().catch((reason: unknown) => reason))).toBe(true);
  });
});
