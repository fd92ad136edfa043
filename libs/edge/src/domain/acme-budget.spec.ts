import { budgetLeft, nextOrderAt, nextSharedOrderAt, type Order, recentOrders } from './acme-budget.js';

const now = new Date('2026-03-10T12:00:00.000Z');
const ago = (hours: number, outcome: Order['outcome'] = 'issued', certificate = 'portal'): Order => ({
  at: new Date(now.getTime() - hours * 3_600_000).toISOString(),
  certificate,
  outcome,
});

describe('FM-8 the budget of orders', () => {
  it('has room at first and for each certificate of its own', () => {
    expect(nextOrderAt([], 'portal', now)).toBeNull();
    expect(nextOrderAt([ago(1), ago(2), ago(3)], 'portal', now)).toBeNull();
    expect(nextOrderAt([ago(1), ago(2), ago(3), ago(4)], 'tenants', now)).toBeNull();
  });

  it('is used up by four certificates in a week, until the oldest of them is a week old', () => {
    const orders = [ago(1), ago(100), ago(2), ago(3), ago(160)];
    expect(nextOrderAt(orders, 'portal', now)).toEqual(new Date('2026-03-13T08:00:00.000Z'));
    expect(nextOrderAt(orders, 'portal', new Date('2026-03-13T08:00:00.000Z'))).toBeNull();
  });

  it('is used up by four failures in half a day, also those that never ended', () => {
    const orders = [ago(1, 'failed'), ago(2, 'started'), ago(3, 'failed'), ago(10, 'failed')];
    expect(nextOrderAt(orders, 'portal', now)).toEqual(new Date('2026-03-10T14:00:00.000Z'));
    expect(nextOrderAt([...orders.slice(1), ago(13, 'failed')], 'portal', now)).toBeNull();
  });

  it('is told as what is left of it', () => {
    const orders = [ago(1), ago(2, 'failed'), ago(11, 'started'), ago(13, 'failed'), ago(169), ago(2.5, 'issued', 'x')];
    expect(budgetLeft(orders, ['portal', 'tenants'], now)).toEqual({
      certificates: [
        { name: 'portal', issued: { left: 3, of: 4 }, failed: { left: 2, of: 4 }, nextAt: null },
        { name: 'tenants', issued: { left: 4, of: 4 }, failed: { left: 4, of: 4 }, nextAt: null },
      ],
      shared: { left: 197, of: 200 },
    });
    const spent = [ago(1), ago(2), ago(3), ago(160), ago(161)];
    expect(budgetLeft(spent, ['portal'], now).certificates).toEqual([
      {
        name: 'portal',
        issued: { left: 0, of: 4 },
        failed: { left: 4, of: 4 },
        nextAt: nextOrderAt(spent, 'portal', now)?.toISOString(),
      },
    ]);
  });

  it('forgets what no longer counts', () => {
    expect(recentOrders([ago(1), ago(167), ago(169)], now)).toHaveLength(2);
  });
});

describe('FM-8 the budget of all domains together', () => {
  const orders = (count: number): Order[] =>
    Array.from({ length: count }, (_unused, index) => ago((index % 100) / 100, 'issued', `domains/d${index}.org`));

  it('leaves the platform’s own certificates their room', () => {
    expect(nextSharedOrderAt(orders(199), 'ana', now)).toBeNull();
    const full = orders(200);
    const next = nextSharedOrderAt(full, 'ana', now);
    expect(next).toEqual(new Date(now.getTime() + (3 - 0.99) * 3_600_000));
    expect(nextOrderAt(full, 'portal', now)).toBeNull();
  });

  it('has a part for each customer, which names that are gone have used up too', () => {
    const theirs = orders(10).map((order) => ({ ...order, account: 'ana' }));
    expect(nextSharedOrderAt(theirs.slice(1), 'ana', now)).toBeNull();
    expect(nextSharedOrderAt(theirs, 'ana', now)).toEqual(new Date(now.getTime() + (3 - 0.09) * 3_600_000));
    expect(nextSharedOrderAt(theirs, 'ben', now)).toBeNull();
  });
});
