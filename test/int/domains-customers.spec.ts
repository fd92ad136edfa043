import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { waitFor } from '#libs/async';
import { readDomainRecords } from '#libs/edge';
import { DomainWorld } from '../support/domain-world.js';

// Several test files and an engine may share two cores.
jest.setTimeout(60_000);

const t = new DomainWorld();
beforeAll(() => t.start(), 120_000);
afterAll(() => t.close());

describe('customers beside each other', () => {
  const wait = (domain: string): string => join(t.dataDir, 'acme', 'ready', `${domain}.wait`);
  const asked = async (): Promise<string[]> => {
    const text = await readFile(join(t.dataDir, 'acme', 'asked'), 'utf8');
    return text.trim().split('\n');
  };
  const untilAsked = (domain: string): Promise<true> =>
    waitFor(async () => ((await asked()).includes(domain) ? true : undefined), {
      what: `the authority to be asked for ${domain}`,
      deadlineMs: 20_000,
    });
  const due = (): Promise<unknown> =>
    t.world.database.dataSource.query(`update tenant_domains set next_check_at = 'epoch'`);

  beforeEach(() => t.world.database.dataSource.query('delete from tenant_domains'));

  it('are looked at while the authority is slow with others’ orders, which wait behind each other and before nobody', async () => {
    const many = await t.world.account();
    const [first, second, other] = [await t.stack(many), await t.stack(many), await t.stack()];
    const names = Array.from({ length: 9 }, (_unused, at) => `many${at}.example.org`);
    await writeFile(wait(names[0] ?? ''), '');
    for (const [at, name] of names.entries()) {
      await t.claim(at < 5 ? first : second, name);
    }
    // In their order, so that the one that waits is known.
    await t.world.database.dataSource.query(
      `update tenant_domains set next_check_at = timestamptz 'epoch' + substring(domain from 'many(.)')::int * interval '1 second'`,
    );
    await t.keeper.turn();
    await untilAsked('many0.example.org');
    await waitFor(async () => ((await t.row(second, 'many8.example.org')).checkedAt === null ? undefined : true), {
      what: 'a look at the ninth domain, beside eight whose orders wait',
      deadlineMs: 10_000,
    });
    await t.claim(other, 'one.example.org');
    await t.keeper.turn();
    await waitFor(async () => ((await t.row(other, 'one.example.org')).verifiedAt === null ? undefined : true), {
      what: 'a look at another customer’s domain',
      deadlineMs: 10_000,
    });
    await rm(wait('many0.example.org'));
    await t.keeper.ended();
    const order = await asked();
    expect(order.filter((name) => name.startsWith('many'))).toHaveLength(9);
    expect(order.indexOf('one.example.org')).toBe(order.indexOf('many0.example.org') + 1);
    await t.keeper.turn();
    expect(await t.view(other, 'one.example.org')).toMatchObject({ state: 'live' });
  });

  it('have a part of the orders each, which names that are gone have used up too', async () => {
    const [many, other] = [await t.stack(), await t.stack()];
    const orders = Array.from({ length: 10 }, (_unused, at) => ({
      at: t.now().toISOString(),
      certificate: `domains/gone${at}.example.org`,
      account: many.owner.accountId,
      outcome: 'failed',
    }));
    await writeFile(join(t.dataDir, 'acme', 'orders.json'), JSON.stringify(orders));
    await t.claim(many, 'eleventh.example.org');
    await t.claim(other, 'first.example.org');
    await t.look();
    expect(await t.view(many, 'eleventh.example.org')).toMatchObject({ state: 'failing', problem: 'ORDER_LATER' });
    expect(await t.view(other, 'first.example.org')).toMatchObject({ state: 'live' });
    await rm(join(t.dataDir, 'acme', 'orders.json'));
  });

  it('are not ordered for once they are removed, also where their turn comes later', async () => {
    const stack = await t.stack();
    await writeFile(wait('slow.example.org'), '');
    await t.claim(stack, 'slow.example.org');
    await t.keeper.turn();
    await untilAsked('slow.example.org');
    await t.claim(stack, 'gone.example.org');
    await due();
    await t.keeper.turn();
    await waitFor(async () => ((await t.row(stack, 'gone.example.org')).verifiedAt === null ? undefined : true), {
      what: 'a look at the domain that waits',
      deadlineMs: 10_000,
    });
    await t.world.domains.remove(stack.owner, stack.slug, 'gone.example.org');
    await rm(wait('slow.example.org'));
    await t.keeper.ended();
    expect(await asked()).not.toContain('gone.example.org');
  });

  it('whose name servers take their time for each of a hundred zones keep a look for its deadline only', async () => {
    const domain = `${'a.'.repeat(100)}example.org`;
    t.dns.setAddresses(domain, '192.0.2.1');
    t.dns.delayMs = 150;
    const began = performance.now();
    try {
      const records = await readDomainRecords(
        { domain, ownership: `_aviary.${domain}`, ours: 'ours.aviary.localhost' },
        [t.dns.address],
        1_000,
      );
      expect(performance.now() - began).toBeLessThan(2_500);
      expect(records).toMatchObject({ addresses: { found: ['192.0.2.1'] }, authorities: { failed: 'ETIMEOUT' } });
    } finally {
      t.dns.delayMs = 0;
    }
  });
});
