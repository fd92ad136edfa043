import { TenantEntity } from '#libs/db';
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
