import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DomainError, type DomainView, type JobPayload } from '#libs/contracts';
import { OutboxMailEntity, TenantEntity } from '#libs/db';
import { readDomainRecords } from '#libs/edge';
import { mailDomain, OutboxService } from '#libs/support';
import { createLogger } from '#libs/telemetry';
import { publishedRoutes } from '../../apps/agent/src/published-routes.js';
import { DomainWorld, type Owned } from '../support/domain-world.js';
import { ENGINE_ID } from '../support/stack-world.js';

// Several test files and an engine may share two cores.
jest.setTimeout(60_000);

const never = new AbortController().signal;
const t = new DomainWorld();
beforeAll(() => t.start(), 120_000);
afterAll(() => t.close());

const run = async (stack: Owned, kind: 'stop' | 'start'): Promise<string> => {
  const { operation } = await t.world.stacks.request(stack.owner, stack.slug, kind);
  await t.world.runner().run(operation.id, stack.id, never);
  return (await t.world.database.dataSource.manager.findOneByOrFail(TenantEntity, { id: stack.id })).observed;
};

/** As after the platform's own domain was changed to one above it: added long ago, and acceptable no more. */
const bring = async (stack: Owned, from: string, to: string): Promise<void> => {
  await t.world.database.dataSource.query(
    `update tenant_domains set domain = $1 where tenant_id = $2 and domain = $3`,
    [to, stack.id, from],
  );
};

describe('a domain that no route may carry', () => {
  it.each(['uptimes.example.org', 'ubuntux.example.org'])(
    '%s, whose first label is like a stack’s name, is a domain like any other',
    async (domain) => {
      const stack = await t.stack();
      expect(await t.live(stack, domain)).toMatchObject({ state: 'live', problem: null });
      expect(await t.route(stack)).toContain(`Host(\`${domain}\`)`);
      expect(await run(stack, 'stop')).toBe('stopped');
      expect(await run(stack, 'start')).toBe('running');
    },
  );

  it('is left out: its stack starts and stops, its other domains and all other stacks are served, operators are told', async () => {
    const [stack, other] = [await t.stack(), await t.stack()];
    await t.live(stack, 'good.example.org');
    await t.live(stack, 'bad.example.org');
    await bring(stack, 'bad.example.org', 'bad.aviary.localhost');
    expect(await run(stack, 'stop')).toBe('stopped');
    expect(await run(stack, 'start')).toBe('running');
    const facts = { ...t.world.facts, engineId: ENGINE_ID };
    const logger = createLogger('test', 'silent');
    const { dataSource } = t.world.database;
    const files = await publishedRoutes({ dataSource, facts, edge: t.world.edge, logger });
    expect(files.map(({ name }) => name)).toEqual(
      expect.arrayContaining([`${stack.slug}.yml`, `${other.slug}.yml`]) as string[],
    );
    const own = files.find(({ name }) => name === `${stack.slug}.yml`)?.content;
    expect(own).toContain('good.example.org');
    expect(own).not.toContain('bad.aviary.localhost');
    const reconciler = t.world.reconciler();
    expect(await reconciler.pass(never)).toBeGreaterThan(1);
    await t.keeper.turn();
    expect(t.keeper.findings()).toEqual([
      expect.objectContaining({
        code: 'DOMAIN_UNROUTED',
        severity: 'warning',
        params: { domain: 'bad.aviary.localhost', slug: stack.slug },
      }),
    ]);
    await t.world.domains.remove(stack.owner, stack.slug, 'bad.aviary.localhost');
    await t.keeper.turn();
    expect(t.keeper.findings()).toEqual([]);
  });

  it('a stack whose route cannot be made keeps no other from being looked after, nor another’s domain from its route', async () => {
    const [broken, other] = [await t.stack(), await t.stack()];
    const reconciler = t.world.reconciler();
    await reconciler.pass(never);
    await t.claim(broken, 'broken.example.org');
    await t.claim(other, 'fine.example.org');
    await t.world.database.dataSource.query('delete from edge_slots where tenant_id = $1', [broken.id]);
    const [container] = Object.values(t.world.engine.names())
      .flat()
      .filter((name) => name.includes(other.slug) && name.endsWith('-runtime'));
    await t.world.engine.removeContainer(
      container ?? '',
      { platform: t.world.database.platformId },
      { deadlineMs: 5_000 },
    );
    await expect(reconciler.pass(never)).rejects.toThrow(/1 of \d+ stacks could not be compared/);
    await reconciler.turn(never);
    expect(
      await t.world.database.dataSource.query(`select kind from operations where tenant_id = $1 and state = 'queued'`, [
        other.id,
      ]),
    ).toEqual([{ kind: 'repair' }]);
    await t.world.database.dataSource.query(`delete from operations where tenant_id = $1 and state = 'queued'`, [
      other.id,
    ]);
    await expect(t.look()).rejects.toThrow(/could not be looked at or published/);
    expect(await t.route(other)).toContain('fine.example.org');
    expect(await t.route(broken)).not.toContain('broken.example.org');
    await t.world.database.dataSource.query('delete from tenants where id = $1', [broken.id]);
    await t.keeper.turn();
  });
});

describe('a domain whose owner may have let it go', () => {
  const HOUR = 3_600_000;
  afterEach(() => {
    t.laterMs = 0;
  });

  it('is served as long as its record was seen within a day, and again once it is back', async () => {
    const stack = await t.stack();
    const domain = 'tidied.example.org';
    const view = await t.live(stack, domain);
    t.dns.setTexts(`_aviary.${domain}`);
    t.laterMs = 23 * HOUR;
    await t.look();
    expect(await t.view(stack, domain)).toMatchObject({ state: 'live', problem: 'TXT_MISSING' });
    expect(await t.route(stack)).toContain(domain);
    t.laterMs = 25 * HOUR;
    await t.look();
    expect(await t.view(stack, domain)).toMatchObject({ state: 'failing', problem: 'TXT_MISSING' });
    expect(await t.route(stack)).not.toContain(domain);
    t.setDns(view);
    await t.look();
    expect(await t.view(stack, domain)).toMatchObject({ state: 'live', problem: null });
    expect(await t.route(stack)).toContain(domain);
  });

  it('is served no more after a day of silence, nor from the moment it is seen to lead elsewhere', async () => {
    const stack = await t.stack();
    const view = await t.live(stack, 'silent.example.org');
    await t.live(stack, 'moved.example.org');
    t.dns.setFault('silent.example.org', 'broken');
    t.dns.setAddresses('moved.example.org', '198.51.100.9');
    await t.look();
    expect(await t.view(stack, 'silent.example.org')).toMatchObject({ state: 'live', problem: 'DNS_FAILED' });
    expect(await t.view(stack, 'moved.example.org')).toMatchObject({ state: 'failing', problem: 'ADDRESS_OTHER' });
    expect(await t.route(stack)).toContain('silent.example.org');
    expect(await t.route(stack)).not.toContain('moved.example.org');
    // Nothing an operator has to do.
    expect(t.keeper.findings()).toEqual([]);
    t.laterMs = 25 * HOUR;
    await t.look();
    expect(await t.view(stack, 'silent.example.org')).toMatchObject({ state: 'failing', problem: 'DNS_FAILED' });
    expect(await t.route(stack)).not.toContain('silent.example.org');
    // The address alone does not bring it back: who has the domain by now can set that too.
    t.dns.setFault('silent.example.org', null);
    t.dns.setTexts(view.records.find(({ type }) => type === 'TXT')?.name ?? '', 'v=spf1 -all');
    await t.look();
    expect(await t.view(stack, 'silent.example.org')).toMatchObject({ state: 'failing', problem: 'TXT_MISSING' });
    expect(await t.route(stack)).not.toContain('silent.example.org');
  });

  it('is looked at each hour, whatever else its next look waits for', async () => {
    const stack = await t.stack();
    const domain = 'later.example.org';
    await t.live(stack, domain);
    const orders = Array.from({ length: 4 }, () => ({
      at: t.now().toISOString(),
      certificate: `domains/${domain}`,
      outcome: 'issued',
    }));
    await writeFile(join(t.dataDir, 'acme', 'orders.json'), JSON.stringify(orders));
    await rm(join(t.dataDir, 'certs', 'domains', `${domain}.crt`));
    await t.look();
    const { problem, nextCheckAt } = await t.row(stack, domain);
    expect(problem).toBe('ORDER_LATER');
    expect(nextCheckAt.getTime()).toBeLessThanOrEqual(t.now().getTime() + HOUR);
    await rm(join(t.dataDir, 'acme', 'orders.json'));
  });

  it('is served no more once its certificate has ended', async () => {
    const stack = await t.stack();
    const domain = 'ended.example.org';
    await t.live(stack, domain);
    await rm(join(t.dataDir, 'acme', 'ready', `${domain}.crt`));
    t.laterMs = 400 * 24 * HOUR;
    await t.look();
    expect(await t.view(stack, domain)).toMatchObject({ state: 'failing', problem: 'ORDER_FAILED' });
    expect(await t.route(stack)).not.toContain(domain);
  });

  it('is to be proven with a new record after two weeks elsewhere', async () => {
    const stack = await t.stack();
    const domain = 'lapsed.example.org';
    const view = await t.live(stack, domain);
    t.dns.setAddresses(domain, '198.51.100.9');
    await t.look();
    t.laterMs = 15 * 24 * HOUR;
    await t.look();
    const after = await t.view(stack, domain);
    expect(after).toMatchObject({ state: 'waiting', verifiedAt: null, confirmedAt: null, certificateUntil: null });
    const txt = ({ records }: DomainView): string | undefined => records.find(({ type }) => type === 'TXT')?.value;
    expect(txt(after)).not.toBe(txt(view));
    expect(await readdir(join(t.dataDir, 'certs', 'domains'))).not.toContain(`${domain}.crt`);
    // A new holder who shows what the old one had published.
    t.setDns(view);
    await t.look();
    expect(await t.view(stack, domain)).toMatchObject({ state: 'waiting', problem: 'TXT_OTHER' });
    t.setDns(after);
    await t.look();
    expect(await t.view(stack, domain)).toMatchObject({ state: 'live' });
  });
});

describe('a domain that goes to another stack', () => {
  beforeEach(() => t.world.database.dataSource.query('delete from tenant_domains'));

  it('is nobody’s while an operation of the one before has not written its route, and no two routes ever name it', async () => {
    const [before, after] = [await t.stack(), await t.stack()];
    const domain = 'sold.example.org';
    await t.live(before, domain);
    // It has begun, and read its rows when the domain was still its own.
    const { operation } = await t.world.stacks.request(before.owner, before.slug, 'stop');
    await t.claim(after, domain);
    for (let turn = 0; turn < 3; turn += 1) {
      await t.look();
      expect(await t.view(before, domain)).toMatchObject({ state: 'waiting', verifiedAt: null });
      expect(await t.view(after, domain)).toMatchObject({ state: 'waiting', verifiedAt: null });
      expect(await t.route(before)).toContain(domain);
      expect(await t.route(after)).not.toContain(domain);
    }
    await t.world.runner().run(operation.id, before.id, never);
    await t.look();
    expect(await t.route(before)).not.toContain(domain);
    await t.look();
    expect(await t.view(after, domain)).toMatchObject({ state: 'live' });
    expect(await t.route(after)).toContain(domain);
  });

  it('that was removed while it was looked at is not proven', async () => {
    const stack = await t.stack();
    const domain = 'removed.example.org';
    await t.claim(stack, domain);
    const keeper = t.newKeeper({
      read: async (names) => {
        const records = await readDomainRecords(names, [t.dns.address]);
        await t.world.domains.remove(stack.owner, stack.slug, domain);
        return records;
      },
    });
    await t.look(keeper);
    const rows = await t.world.database.dataSource.query<{ action: string }[]>(
      `select action from audit_entries where after ->> 'domain' = $1 and action = 'stack.domain_proven'`,
      [domain],
    );
    expect(rows).toEqual([]);
  });
});

it('an agent that may change nothing any more removes no certificate', async () => {
  const stack = await t.stack();
  await t.live(stack, 'kept.example.org');
  await t.world.domains.remove(stack.owner, stack.slug, 'kept.example.org');
  let asked = 0;
  const paused = t.newKeeper({
    // Led when its turn began; another leads by the time it comes to files.
    prove: () => {
      asked += 1;
      return asked === 1 ? Promise.resolve() : Promise.reject(new DomainError('FENCED'));
    },
  });
  await expect(paused.turn()).rejects.toMatchObject({ code: 'FENCED' });
  expect(await readdir(join(t.dataDir, 'certs', 'domains'))).toContain('kept.example.org.crt');
  await t.keeper.turn();
  expect(await readdir(join(t.dataDir, 'certs', 'domains'))).not.toContain('kept.example.org.crt');
});

describe('the owner of a domain that leads elsewhere', () => {
  const DAY = 86_400_000;
  afterEach(() => {
    t.laterMs = 0;
  });

  /** Mails to that owner so far, written by the worker's handler of the jobs that wait. */
  async function mailed({ id, owner }: Owned): Promise<{ subject: string; text: string }[]> {
    const { dataSource } = t.world.database;
    const outbox = new OutboxService({ database: dataSource, queue: t.world.queue, now: t.now });
    const of = `pgboss.job where name = 'mail.domain' and data ->> 'stackId' = $1`;
    const jobs = await dataSource.query<{ data: JobPayload<'mail.domain'> }[]>(`select data from ${of}`, [id]);
    for (const { data } of jobs) {
      await mailDomain(dataSource, outbox, data);
    }
    await dataSource.query(`delete from ${of}`, [id]);
    return dataSource.manager.find(OutboxMailEntity, {
      where: { recipient: `${owner.username}@example.org` },
      order: { createdAt: 'ASC' },
    });
  }

  it('gets one mail after three days, however often it is looked at, and one when it is back', async () => {
    const stack = await t.stack();
    const domain = 'away.example.org';
    const view = await t.live(stack, domain);
    t.dns.setAddresses(domain, '198.51.100.9');
    await t.look();
    // Back, and away again: not the same three days.
    t.laterMs = 2 * DAY;
    t.setDns(view);
    await t.look();
    t.dns.setAddresses(domain, '198.51.100.9');
    await t.look();
    t.laterMs = 4 * DAY;
    await t.look();
    expect(await mailed(stack)).toEqual([]);
    t.laterMs = 5 * DAY + 60_000;
    await t.look();
    await t.look();
    const [away, ...more] = await mailed(stack);
    expect(more).toEqual([]);
    expect(away?.subject).toBe(`Your domain ${domain} does not lead to your dashboard`);
    expect(away?.text).toContain('leads elsewhere (198.51.100.9)');
    t.laterMs = 9 * DAY;
    await t.look();
    expect(await mailed(stack)).toHaveLength(1);
    t.setDns(view);
    await t.look();
    await t.look();
    const mails = await mailed(stack);
    expect(mails.map(({ subject }) => subject)).toEqual([
      `Your domain ${domain} does not lead to your dashboard`,
      `Your domain ${domain} leads to your dashboard again`,
    ]);
  });
});
