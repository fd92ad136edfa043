import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { waitFor } from '#libs/async';
import type { Accepted, OperationView } from '#libs/contracts';
import { hashToken, randomToken } from '#libs/crypto';
import { docker } from '../support/engine.js';
import { holdNext } from '../support/engine-faults/hold.js';
import type { FaultPoint } from '../support/engine-faults/points.js';
import type { PortalClient } from '../support/portal-client.js';
import { platformOfTests } from '../support/platform.js';
import { linesOf, SteadyLoad, type LoadLine } from '../support/steady-load.js';

const PROCESSES = ['api', 'api2', 'gate', 'gate2', 'worker', 'agent'] as const;
const STORES = ['postgres', 'redis', 'traefik'] as const;
type Service = (typeof PROCESSES)[number] | (typeof STORES)[number];

interface Upgraded {
  outcome: string;
  services: string[];
  backup: string | null;
}

interface UpgradeRan {
  code: number;
  data: Upgraded | null;
  error: { message: string } | null;
  stderr: string;
}

/** Below what one account may write in a minute. */
const WRITES_PACE_MS = 600;
/** A worker that is well when it has started, and dies a little later, each time. */
const SHORT_LIVED_WORKER = `command: [node, -e, "import('node:http').then(({createServer}) => createServer((_, answer) => answer.end('{}')).listen(8083, '0.0.0.0')); setTimeout(() => process.exit(1), 8000)"]`;
/** As a version has it whose migration adds a column. */
const ADDED = 'added_by_the_version_that_failed';
const ADDING_MIGRATION = `image: \${AVIARY_IMAGE_POSTGRES}
    command: [sh, -c, 'psql -v ON_ERROR_STOP=1 "$$(cat /run/secrets/owner-database-url)" -c "alter table accounts add column ${ADDED} text"']`;

/** As a version has it whose migration takes for ever, and has everybody wait who asks for what it holds. */
const ENDLESS_MIGRATION = `image: \${AVIARY_IMAGE_POSTGRES}
    command: [sh, -c, 'PGAPPNAME=aviary-migrate psql "$$(cat /run/secrets/owner-database-url)" -c "begin; lock table accounts; select pg_sleep(3600)"']`;
/** As a version has it that ships another template of stacks. */
const OTHER_TEMPLATE = 'shared_buffers=25MB';
const OTHER_TEMPLATES = `command:
      - sh
      - -c
      - >-
        cp -r tenant-template /tmp/templates
        && sed -i s/shared_buffers=24MB/${OTHER_TEMPLATE}/ /tmp/templates/standard/compose.yml
        && exec env AVIARY_TEMPLATE_DIR=/tmp/templates node dist/apps/agent/src/main.js`;
const MIGRATION = 'command: [node, dist/apps/cli/src/main.js, db, migrate]';
/** So that each process is another one. */
const OTHER_PROCESSES = ['AVIARY_LOG_LEVEL: ${AVIARY_LOG_LEVEL}', 'AVIARY_LOG_LEVEL: debug'] as const;

/** What is shipped with each of these in another's place, which has to be there. */
function changed(shipped: string, changes: readonly (readonly [from: string, to: string])[]): string {
  return changes.reduce((text, [from, to]) => {
    expect(text).toContain(from);
    return text.replaceAll(from, () => to);
  }, shipped);
}

/** Where a backup stands still, for as long as the agent is replaced: its restic has begun and done nothing yet. */
const HELD_BACKUP: FaultPoint = {
  operation: 'backup',
  fault: 'agent',
  phase: 'dump',
  call: { kind: 'restic', what: 'restic backup begun', command: 'backup', moment: 'begun' },
};

/** The portal is replaced under a steady load, and a version that is not well makes way for the one before. */
describe('deploys', () => {
  const world = platformOfTests();
  const container = (service: Service): string => world().container(service);
  const ids = async (services: readonly Service[]): Promise<Record<string, string>> =>
    Object.fromEntries(
      await Promise.all(
        services.map(async (service) => [service, await docker('inspect', '-f', '{{.Id}}', container(service))]),
      ),
    );
  const startedAt = async (service: Service): Promise<number> =>
    Date.parse(await docker('inspect', '-f', '{{.State.StartedAt}}', container(service)));
  const load = async (...more: LoadLine[]): Promise<SteadyLoad> => {
    // Of the database the line of somebody signed in asks. /readyz gives it two seconds, and this load takes both processors.
    const newcomer = { requests: [{ path: '/healthz', anew: true }] };
    const { accessToken } = await world().operator();
    const headers = { authorization: `Bearer ${accessToken ?? ''}` };
    const signedIn = { requests: [{ path: '/api/v1/auth/me', headers }], paceMs: WRITES_PACE_MS };
    const lines = [...linesOf(4, ['/', '/healthz']), newcomer, signedIn, ...more];
    const steady = new SteadyLoad(world().place, lines);
    await steady.more(20);
    return steady;
  };
  /** What an owner does while the portal is replaced: orders one thing again and again, opens a dashboard, looks at it. */
  const ownerOf = async (
    operator: PortalClient,
    name: string,
  ): Promise<{ owner: PortalClient; stack: Accepted['stack']; lines: LoadLine[]; stacks: () => Promise<string> }> => {
    const owner = world().client();
    const { id } = (await owner.signUp(operator, name, 'correct horse battery staple')).me;
    const key = { 'idempotency-key': randomUUID() };
    const { stack, operation } = await owner.api<Accepted>('POST', '/stacks', {}, key);
    await owner.operationEnd(operation.id);
    await owner.signOn(stack.slug);
    const host = owner.dashboardHost(stack.slug);
    const cookie = [...(owner.jar.get(host) ?? [])].map(([cookieName, value]) => `${cookieName}=${value}`).join('; ');
    const headers = { authorization: `Bearer ${owner.accessToken ?? ''}` };
    const asked = { stack: stack.slug, state: hashToken(randomToken()), next: '/' };
    const opens = { path: '/api/v1/sign-on', headers, body: asked };
    const orders = { path: '/api/v1/stacks', headers: { ...headers, ...key }, body: {} };
    return {
      owner,
      stack,
      stacks: () => world().sql(`select count(*) from tenants where account_id = '${id}'`),
      lines: [
        { requests: [opens, { ...orders, anew: true }, orders, { ...opens, anew: true }], paceMs: WRITES_PACE_MS },
        { requests: [{ host, path: '/', headers: { accept: 'text/html', cookie } }] },
      ],
    };
  };
  /** An operation's fencing number, which each change of its holder raises. */
  const fencing = async (operationId: string): Promise<number> =>
    Number(await world().sql(`select fencing from operations where id = '${operationId}'`));
  /** A backup that is under way, and stands still while its agent lives. */
  const heldBackup = async (
    { owner, stack: { id, slug } }: Awaited<ReturnType<typeof ownerOf>>,
    givenUp: AbortSignal,
  ): Promise<{ id: string; goOn: () => void }> => {
    const repository = join(world().facts.dataDir, 'backups', id);
    const sprung = holdNext(world(), { id, slug, repository }, HELD_BACKUP, givenUp);
    // What it fails of is told where it is waited for.
    sprung.catch(() => undefined);
    const asked = await owner.api<{ operation: OperationView }>('POST', `/stacks/${slug}/backups`);
    const held = await sprung;
    return { id: asked.operation.id, goOn: () => held.goOn(true) };
  };
  /** Of an operation that is over: steps that did not come to their end, those that did so twice, and its backups. */
  const stepsOf = async (operationId: string): Promise<string[]> => {
    const steps = `from operation_steps where operation_id = '${operationId}'`;
    return Promise.all(
      [
        `select count(*) ${steps} and action is null and state <> 'done'`,
        `select count(*) from (select phase, action, target ${steps} and state = 'done'
            group by phase, action, target having count(*) > 1) twice`,
        `select string_agg(state, ' ') from backups where operation_id = '${operationId}'`,
      ].map((query) => world().sql(query)),
    );
  };
  const upgrade = async (...args: string[]): Promise<UpgradeRan> => {
    const { code, stdout, stderr } = await world().run('upgrade', ...args, '--json');
    // One that was cut off says nothing.
    const document = JSON.parse(stdout.trim().split('\n').at(-1) || '{}') as {
      data: Upgraded | null;
      error: { message: string } | null;
    };
    return { code, ...document, stderr };
  };
  const verifiedBackups = async (): Promise<number> =>
    Number(await world().sql(`select count(*) from portal_backups where state = 'verified'`));

  it('PL-6 a deploy replaces one api and one gate after the other: no request fails, no order is lost or done twice, and what its agent was at is done by the next', async () => {
    const operator = await world().operator();
    const owner = world().client();
    await owner.signUp(operator, 'deployed', 'correct horse battery staple');
    const standing = await ownerOf(operator, 'standing');
    const before = await ids([...PROCESSES, ...STORES]);
    const steady = await load(...standing.lines);
    const over = new AbortController();
    try {
      const backup = await heldBackup(standing, over.signal);
      const first = await fencing(backup.id);
      await world().withSettings({ AVIARY_LOG_LEVEL: 'debug' }, async () => {
        let rolled = false;
        const rolling = world()
          .run('up')
          .finally(() => {
            rolled = true;
          });
        // an order that comes while the first api is replaced
        await waitFor(async () => ((await ids(['api']))['api'] === before['api'] && !rolled ? undefined : true), {
          what: 'the first api being replaced',
          deadlineMs: 120_000,
          maxIntervalMs: 200,
        });
        const { stack, operation } = await owner.createStack();
        const ran = await rolling;
        // Of a restic whose agent is gone nobody is left.
        backup.goOn();
        expect({ code: ran.code, stderr: ran.stderr }).toEqual({ code: 0, stderr: expect.any(String) });
        await owner.operationEnd(operation.id);
        const carriedOn = await standing.owner.operationEnd(backup.id);
        expect(Date.parse(carriedOn.finishedAt ?? '')).toBeGreaterThan(await startedAt('agent'));
        expect(await fencing(backup.id)).toBeGreaterThan(first);
        expect(await stepsOf(backup.id)).toEqual(['0', '0', 'verified']);
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
        expect(await startedAt('gate2')).toBeGreaterThan(await startedAt('gate'));
        expect((await owner.destroy(stack.slug)).state).toBe('done');
      });
      expect((await world().run('up')).code).toBe(0);
      await steady.more(20);
    } finally {
      over.abort();
      await steady.end();
    }
    // At the portal and at the dashboard.
    expect(steady.failed).toEqual([]);
    expect(await standing.stacks()).toBe('1');
  }, 600_000);

  it('one api that is killed takes nothing with it but what it was just answering', async () => {
    const steady = await load();
    try {
      const lines = 5;
      expect(steady.failed).toEqual([]);
      await docker('kill', '-s', 'KILL', container('api'));
      await steady.more(100);
      // what was under way at that moment, at most one of each line
      expect(steady.failed.length).toBeLessThanOrEqual(lines);
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

  /** Begins an upgrade and kills its tools container at that moment. */
  const cutOff = async (what: string, moment: () => Promise<boolean>): Promise<void> => {
    let over = false;
    const upgrading = upgrade().finally(() => {
      over = true;
    });
    await waitFor(async () => (over || (await moment()) ? true : undefined), {
      what,
      deadlineMs: 180_000,
      maxIntervalMs: 200,
    });
    const running = await docker('ps', '--no-trunc', '--format', '{{.ID}} {{.Command}}');
    const tools = running.split('\n').filter((line) => line.includes('host/upgrade.js'));
    expect(tools).toHaveLength(1);
    await docker('kill', ...tools.map((line) => line.split(' ')[0] ?? ''));
    expect((await upgrading).code).not.toBe(0);
  };

  /** The next upgrade after one that was cut off: it does the rest, or says why not and how to go back. */
  const completed = async (): Promise<UpgradeRan> => {
    const next = await upgrade('--stay', '5');
    if (next.code === 0) {
      return next;
    }
    expect(next).toMatchObject({
      code: 8,
      error: { message: expect.stringMatching(/not well, so nothing was changed: .*scripts\/upgrade --back/s) },
    });
    expect(await upgrade('--back')).toMatchObject({ code: 0, data: { outcome: 'put back' } });
    return upgrade('--stay', '5');
  };

  it('an upgrade says what it would do, backs the portal up, does it also after one that was cut off, and goes back when told', async () => {
    const before = await ids(PROCESSES);
    const level = async (): Promise<string[]> => {
      const environments = await Promise.all(
        PROCESSES.map((service) => docker('inspect', '-f', '{{json .Config.Env}}', container(service))),
      );
      return [...new Set(environments.map((text) => /"AVIARY_LOG_LEVEL=(\w+)"/.exec(text)?.[1] ?? ''))];
    };
    const usual = await level();
    await world().withSettings({ AVIARY_LOG_LEVEL: 'debug' }, async () => {
      const backups = await verifiedBackups();
      const would = await upgrade('--dry-run');
      expect(would).toMatchObject({
        code: 0,
        data: { outcome: 'would upgrade', services: ['api', 'api2', 'gate', 'gate2', 'worker', 'agent'], backup: null },
      });
      expect([await ids(PROCESSES), await verifiedBackups()]).toEqual([before, backups]);
      await cutOff('the first api being another one', async () => {
        const [id, runs] = (await docker('inspect', '-f', '{{.Id}} {{.State.Running}}', container('api'))).split(' ');
        return id !== before['api'] && runs === 'true';
      });
      const known = await verifiedBackups();
      expect(known).toBe(backups + 1);
      const done = await completed();
      expect(done).toMatchObject({ code: 0, data: { outcome: 'upgraded' } });
      expect(await verifiedBackups()).toBe(known + 1);
      expect(await world().sql(`select state from portal_backups where id = '${done.data?.backup ?? ''}'`)).toBe(
        'verified',
      );
      const after = await ids(PROCESSES);
      expect(PROCESSES.filter((service) => after[service] === before[service])).toEqual([]);
      expect(await upgrade()).toMatchObject({ code: 0, data: { outcome: 'nothing to do' } });
      expect([await ids(PROCESSES), await verifiedBackups()]).toEqual([after, known + 1]);
      expect([usual.length, await level()]).toEqual([1, ['debug']]);
      // Well for the while that was watched, and no longer liked: the version before is still known, and its images are there.
      expect(await upgrade('--back')).toMatchObject({ code: 0, data: { outcome: 'put back' } });
      expect(await level()).toEqual(usual);
    });
    const back = await ids(PROCESSES);
    await world().operator();
    expect(await upgrade()).toMatchObject({ code: 0, data: { outcome: 'nothing to do' } });
    expect(await ids(PROCESSES)).toEqual(back);
  }, 600_000);

  it('an upgrade that does not become well goes back by itself, says why, and nobody notices', async () => {
    const file = join(world().facts.root, 'docker-compose.portal.yml');
    const shipped = await readFile(file, 'utf8');
    const before = await ids([...PROCESSES, ...STORES]);
    const broken = changed(shipped, [
      ['command: [node, dist/apps/api/src/main.js]', `command: [node, -e, 'setInterval(() => undefined, 1000)']`],
    ]);
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

  it('an upgrade that was well and does not stay so goes back whole, on the schema that it has brought', async () => {
    const file = join(world().facts.root, 'docker-compose.portal.yml');
    const shipped = await readFile(file, 'utf8');
    const failing = changed(shipped, [
      ['command: [node, dist/apps/worker/src/main.js]', SHORT_LIVED_WORKER],
      [MIGRATION, ADDING_MIGRATION],
      ['command: [node, --max-semi-space-size=1, dist/apps/agent/src/main.js]', OTHER_TEMPLATES],
      OTHER_PROCESSES,
    ]);
    const made = async (): Promise<string[]> =>
      Promise.all(
        [...PROCESSES, ...STORES].map((service) =>
          docker(
            'inspect',
            '-f',
            '{{.Name}} {{index .Config.Labels "com.docker.compose.config-hash"}}',
            container(service),
          ),
        ),
      );
    const [before, processes] = [await made(), await ids(PROCESSES)];
    const column = `select count(*) from information_schema.columns where table_name = 'accounts' and column_name = '${ADDED}'`;
    const accounts = await world().sql('select count(*) from accounts');
    const steady = await load();
    try {
      await writeFile(file, failing);
      const went = await upgrade('--within', '60', '--stay', '20');
      expect({ code: went.code, data: went.data }).toEqual({ code: 1, data: null });
      expect(went.error?.message).toMatch(/did not become well, so what ran before .* runs again, and is well/);
      expect(went.error?.message).toMatch(/was well and did not stay so for 20 s: .*worker/);
      await steady.more(20);
    } finally {
      await writeFile(file, shipped);
      await steady.end();
    }
    expect(steady.failed).toEqual([]);
    expect([await made(), await world().sql(column)]).toEqual([before, '1']);
    const after = await ids(PROCESSES);
    expect(PROCESSES.filter((service) => after[service] === processes[service])).toEqual([]);
    const operator = await world().operator();
    const latecomer = world().client();
    await latecomer.signUp(operator, 'latecomer', 'correct horse battery staple');
    expect(await world().sql('select count(*) from accounts')).toBe(String(Number(accounts) + 1));
    // What it shipped is known, and no stack is made of it.
    const ofIt = `definition::text like '%${OTHER_TEMPLATE}%'`;
    expect(await world().sql(`select state from releases where ${ofIt}`)).toBe('draft');
    const { stack, operation } = await latecomer.createStack();
    await latecomer.operationEnd(operation.id);
    const newest = `select releases.state from releases join tenants on release_id = releases.id where tenants.id = '${stack.id}'`;
    expect(await world().sql(`${newest} and not ${ofIt}`)).toBe('stable');
    expect((await latecomer.destroy(stack.slug)).state).toBe('done');
    await world().sql(`delete from releases where ${ofIt}`);
    await world().sql(`alter table accounts drop column ${ADDED}`);
    expect(await upgrade()).toMatchObject({ code: 0, data: { outcome: 'nothing to do' } });
  }, 600_000);

  it('a migration that was cut off with its upgrade is ended before anything goes back', async () => {
    const file = join(world().facts.root, 'docker-compose.portal.yml');
    const shipped = await readFile(file, 'utf8');
    const processes = await ids(PROCESSES);
    const migrating = async (): Promise<number> =>
      Number(
        await world().sql(
          `select count(*) from pg_locks where relation = 'accounts'::regclass and mode = 'AccessExclusiveLock' and granted`,
        ),
      );
    try {
      await writeFile(file, changed(shipped, [[MIGRATION, ENDLESS_MIGRATION], OTHER_PROCESSES]));
      await cutOff('the migration', async () => (await migrating()) > 0);
      expect(await migrating()).toBe(1);
    } finally {
      await writeFile(file, shipped);
    }
    expect(await upgrade('--back')).toMatchObject({ code: 0, data: { outcome: 'put back' } });
    expect(await migrating()).toBe(0);
    expect((await world().objects()).containers.filter((name) => name.endsWith('-migrate'))).toEqual([]);
    expect(await ids(PROCESSES)).toEqual(processes);
    await world().operator();
  }, 300_000);
});
