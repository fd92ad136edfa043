import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { waitFor } from '#libs/async';
import { docker } from '../../support/engine.js';
import type { TestPlatform } from '../../support/platform.js';
import { SteadyLoad } from '../../support/steady-load.js';

const PROCESSES = ['api', 'api2', 'gate', 'worker', 'agent'] as const;
const STORES = ['postgres', 'redis', 'traefik'] as const;
type Service = (typeof PROCESSES)[number] | (typeof STORES)[number];

interface Upgraded {
  outcome: string;
  services: string[];
  backup: string | null;
}

/** The portal is replaced under a steady load, and a version that is not well makes way for the one before. */
export function deploys(world: () => TestPlatform): void {
  const container = (service: Service): string => world().container(service);
  const ids = async (services: readonly Service[]): Promise<Record<string, string>> =>
    Object.fromEntries(
      await Promise.all(
        services.map(async (service) => [service, await docker('inspect', '-f', '{{.Id}}', container(service))]),
      ),
    );
  const startedAt = async (service: Service): Promise<number> =>
    Date.parse(await docker('inspect', '-f', '{{.State.StartedAt}}', container(service)));
  const load = async (): Promise<SteadyLoad> => {
    const steady = new SteadyLoad(world().place, {
      lines: 4,
      paths: ['/', '/healthz', '/readyz'],
    });
    await steady.more(20);
    return steady;
  };
  const upgrade = async (
    ...args: string[]
  ): Promise<{ code: number; data: Upgraded | null; error: { message: string } | null; stderr: string }> => {
    const { code, stdout, stderr } = await world().run('upgrade', ...args, '--json');
    const document = JSON.parse(stdout.trim().split('\n').at(-1) ?? '{}') as {
      data: Upgraded | null;
      error: { message: string } | null;
    };
    return { code, ...document, stderr };
  };
  const verifiedBackups = async (): Promise<number> =>
    Number(await world().sql(`select count(*) from portal_backups where state = 'verified'`));

  it('PL-6 a deploy replaces one api after the other: no request fails, no order is lost or done twice', async () => {
    const operator = await world().operator();
    const owner = world().client();
    await owner.signUp(operator, 'deployed', 'correct horse battery staple');
    const before = await ids([...PROCESSES, ...STORES]);
    const steady = await load();
    try {
      await world().withSettings({ AVIARY_LOG_LEVEL: 'debug' }, async () => {
        let over = false;
        const rolling = world()
          .run('up')
          .finally(() => {
            over = true;
          });
        // ordered while the first api is replaced, so that worker and agent change hands under it
        await waitFor(async () => ((await ids(['api']))['api'] === before['api'] && !over ? undefined : true), {
          what: 'the first api being replaced',
          deadlineMs: 120_000,
          maxIntervalMs: 200,
        });
        const { stack, operation } = await owner.createStack();
        const ran = await rolling;
        expect({ code: ran.code, stderr: ran.stderr }).toEqual({ code: 0, stderr: expect.any(String) });
        await owner.operationEnd(operation.id);
        const counted = await world().sql(
          `select (select count(*) from operations where tenant_id = '${stack.id}') || ' ' ||
                  (select count(*) from tenants where id = '${stack.id}') || ' ' ||
                  (select count(*) from operation_steps where operation_id = '${operation.id}'
                      and state in ('running', 'pending', 'failed'))`,
        );
        expect(counted).toBe('1 1 0');
        const mine = (await world().objects()).containers.filter((name) => name.includes(stack.slug));
        expect(mine).toHaveLength(3);
        const after = await ids([...PROCESSES, ...STORES]);
        expect(PROCESSES.filter((service) => after[service] === before[service])).toEqual([]);
        expect(STORES.filter((service) => after[service] !== before[service])).toEqual([]);
        expect(await startedAt('api2')).toBeGreaterThan(await startedAt('api'));
        expect((await owner.destroy(stack.slug)).state).toBe('done');
      });
      expect((await world().run('up')).code).toBe(0);
      await steady.more(20);
    } finally {
      await steady.end();
    }
    expect(steady.failed).toEqual([]);
  }, 600_000);

  it('one api that is killed takes nothing with it but what it was just answering', async () => {
    const steady = await load();
    try {
      const lines = 4;
      await docker('kill', '-s', 'KILL', container('api'));
      const early = steady.failed.length;
      await steady.more(100);
      // what was under way at that moment, at most one of each line
      expect(steady.failed.length).toBeLessThanOrEqual(Math.max(early, lines));
      await docker('start', container('api'));
      await waitFor(
        async () => {
          const asked = await docker(
            'exec',
            container('api'),
            'node',
            'dist/apps/agent/src/host/ask-health.js',
            '8080',
          );
          return asked === '' ? true : undefined;
        },
        { what: 'the api being back', deadlineMs: 60_000, maxIntervalMs: 500 },
      );
      const known = steady.failed.length;
      await steady.more(50);
      expect(steady.failed.slice(known)).toEqual([]);
    } finally {
      await steady.end();
    }
  }, 180_000);

  it('an upgrade says what it would do, backs the portal up, does it, and then has nothing to do', async () => {
    const before = await ids(PROCESSES);
    await world().withSettings({ AVIARY_LOG_LEVEL: 'debug' }, async () => {
      const backups = await verifiedBackups();
      const would = await upgrade('--dry-run');
      expect(would).toMatchObject({
        code: 0,
        data: { outcome: 'would upgrade', services: ['api', 'api2', 'gate', 'worker', 'agent'], backup: null },
      });
      expect([await ids(PROCESSES), await verifiedBackups()]).toEqual([before, backups]);
      const done = await upgrade();
      expect(done).toMatchObject({ code: 0, data: { outcome: 'upgraded' } });
      expect(await verifiedBackups()).toBe(backups + 1);
      expect(await world().sql(`select state from portal_backups where id = '${done.data?.backup ?? ''}'`)).toBe(
        'verified',
      );
      const after = await ids(PROCESSES);
      expect(PROCESSES.filter((service) => after[service] === before[service])).toEqual([]);
      expect(await upgrade()).toMatchObject({ code: 0, data: { outcome: 'nothing to do' } });
      expect([await ids(PROCESSES), await verifiedBackups()]).toEqual([after, backups + 1]);
    });
    expect((await world().run('up')).code).toBe(0);
  }, 600_000);

  it('an upgrade that does not become well goes back by itself, says why, and nobody notices', async () => {
    const file = join(world().facts.root, 'docker-compose.portal.yml');
    const shipped = await readFile(file, 'utf8');
    const before = await ids([...PROCESSES, ...STORES]);
    const broken = shipped.replace(
      'command: [node, dist/apps/api/src/main.js]',
      `command: [node, -e, 'setInterval(() => undefined, 1000)']`,
    );
    expect(broken).not.toBe(shipped);
    const steady = await load();
    try {
      await writeFile(file, broken);
      const went = await upgrade('--within', '40');
      expect({ code: went.code, data: went.data }).toEqual({ code: 1, data: null });
      expect(went.error?.message).toMatch(/did not become well, so what ran before .* runs again, and is well/);
      expect(went.error?.message).toContain('The new api does not become ready');
      const after = await ids([...PROCESSES, ...STORES]);
      // only the first was tried, and is made anew as it was
      expect(Object.keys(after).filter((service) => after[service] !== before[service])).toEqual(['api']);
      expect(await docker('inspect', '-f', '{{json .Config.Cmd}}', container('api'))).toContain('main.js');
      await steady.more(20);
    } finally {
      await writeFile(file, shipped);
      await steady.end();
    }
    expect(steady.failed).toEqual([]);
    const { document } = await world().cli<{ checks: { name: string; state: string }[] }>('doctor');
    expect(document.data.checks.filter(({ state }) => state === 'bad')).toEqual([]);
    expect(await upgrade()).toMatchObject({ code: 0, data: { outcome: 'nothing to do' } });
  }, 600_000);
}
