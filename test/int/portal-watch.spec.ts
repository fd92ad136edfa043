import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { DomainError, platformPrefix, type Alarm } from '#libs/contracts';
import { AuditEntryEntity, TenantEntity } from '#libs/db';
import { LABEL, plainContainer } from '#libs/engine';
import { listAlarms } from '#libs/jobs';
import type { Probes } from '#libs/orchestrator';
import { createLogger } from '#libs/telemetry';
import { PortalWatch } from '../../apps/agent/src/portal-watch.js';
import { ENGINE_ID, healthyProbes, IMAGES, stackWorld, type StackWorld } from '../support/stack-world.js';

/** The portal's gates and apis as an agent asks for them; the minutes are the test's own. */
jest.setTimeout(60_000);

const never = new AbortController().signal;
const bounds = { deadlineMs: 5_000 };
let at = 0;
const now = (): Date => new Date(at);

/** One of them as the agent reaches it: it answers, says that it fails, or hangs, which its engine does not see. */
class Part {
  does: 'answer' | 'fail' | 'hang' | 'leave' = 'answer';
  private constructor(private readonly server: Server) {}

  static async open(): Promise<Part> {
    const server = createServer();
    const part = new Part(server.listen(0, '127.0.0.1'));
    server.on('request', (request, response) => {
      if (part.does !== 'hang') {
        const status = part.does === 'leave' ? 'leaving' : 'ok';
        response
          .writeHead(part.does !== 'fail' && request.url === '/healthz' ? 200 : 503)
          .end(JSON.stringify({ status }));
      }
    });
    await once(server, 'listening');
    return part;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.server.closeAllConnections();
    this.server.close();
  }
}

let world: StackWorld;
let gate: Part;
let gate2: Part;
let api: Part;
let api2: Part;
let leaving: Part;
let watch: PortalWatch;

beforeEach(async () => {
  at = Date.UTC(2026, 5, 1, 10);
  world = await stackWorld({ now });
  [gate, gate2, api, api2] = [await Part.open(), await Part.open(), await Part.open(), await Part.open()];
  leaving = await Part.open();
  watch = watching();
}, 60_000);
afterEach(async () => {
  gate.close();
  gate2.close();
  api.close();
  api2.close();
  leaving.close();
  await world.close();
});

function watching(): PortalWatch {
  const { database, engine } = world;
  return new PortalWatch({
    dataSource: database.dataSource,
    engine,
    platformId: database.platformId,
    engineId: ENGINE_ID,
    urls: { gate: [gate.url, gate2.url], api: [api.url, api2.url] },
    leavingUrls: [leaving.url],
    logger: createLogger('test', 'silent'),
    now,
    answerMs: 200,
  });
}

const nameOf = (service: string): string => `aviary-${platformPrefix(world.database.platformId)}-${service}`;

/** As `up` makes it, where its labels are not to be others. */
async function runs(service: string, labels: Record<string, string> = {}): Promise<void> {
  const ours = { [LABEL.platform]: world.database.platformId, [LABEL.role]: 'portal', ...labels };
  const image = IMAGES.AVIARY_IMAGE_RUNTIME;
  await world.engine.createContainer(
    plainContainer(nameOf(service), ours, { image, restart: 'unless-stopped' }),
    bounds,
  );
  await world.engine.startContainer(nameOf(service), bounds);
  world.engine.log.reset();
}

/** Looks each minute. */
async function minutes(count: number): Promise<void> {
  for (let minute = 0; minute < count; minute += 1) {
    await watch.turn();
    at += 60_000;
  }
}

const open = async (): Promise<Alarm[]> =>
  (await listAlarms(world.database.dataSource, now())).filter(({ endedAt }) => endedAt === null);

/** What was changed on the engine since it was last asked, and of which container. */
function changes(): string[] {
  const changed = world.engine.log.calls.filter(({ method }) => method !== 'observe');
  world.engine.log.reset();
  return changed.map(({ method, args }) => `${method} ${String(args[0])}`);
}

/** Restarts that the audit tells of, in their order. */
const audited = (): Promise<AuditEntryEntity[]> =>
  world.database.dataSource.manager.find(AuditEntryEntity, {
    where: { action: 'portal.restart' },
    order: { id: 'ASC' },
  });

describe('a gate that hangs while its engine calls it running', () => {
  beforeEach(async () => {
    await runs('gate');
    await runs('api');
    gate.does = 'hang';
  });

  const restart = (): string[] => [`restartContainer ${nameOf('gate')}`];

  it('is an alarm and restarted once, again only after a pause, until it answers', async () => {
    await minutes(2);
    expect([await open(), changes(), watch.doubts]).toEqual([[], [], true]);
    await minutes(1);
    const [alarm, ...others] = await open();
    expect(alarm).toMatchObject({
      key: `portal/${ENGINE_ID}/gate`,
      code: 'PORTAL_UNWELL',
      severity: 'warning',
      message: expect.stringContaining(
        'It was restarted at 2026-06-01 10:02 UTC and will be again at 2026-06-01 10:17',
      ),
    });
    expect([others, changes()]).toEqual([[], restart()]);
    expect(await audited()).toMatchObject([
      {
        actorKind: 'system',
        actorName: 'system:portal-watch',
        targetKind: 'platform',
        targetId: world.database.platformId,
        after: { engine: ENGINE_ID, part: 'gate', container: nameOf('gate'), why: expect.any(String) as string },
      },
    ]);
    await minutes(14);
    expect(changes()).toEqual([]);
    await minutes(1);
    expect([changes(), (await open()).length]).toEqual([restart(), 1]);
    expect(await audited()).toHaveLength(2);

    gate.does = 'answer';
    await minutes(1);
    expect([await open(), changes(), watch.doubts]).toEqual([[], [], false]);
  });

  it('is left the time it needs to start, and stays an alarm for the agent that comes after', async () => {
    const { containers } = await world.engine.observe({ platform: world.database.platformId }, bounds);
    const { startedAt } = containers.find(({ name }) => name === nameOf('gate')) ?? { startedAt: null };
    at = Date.parse(startedAt ?? '');
    await minutes(3);
    expect([changes(), (await open()).length]).toEqual([[], 1]);
    watch = watching();
    await minutes(1);
    expect((await open()).length).toBe(1);
    await minutes(2);
    expect(changes()).toEqual(restart());
  });

  it('is an alarm that says why where its engine refuses to restart it, and is started at the next look', async () => {
    await minutes(2);
    world.engine.log.reset();
    world.engine.log.failOn({ method: 'restartContainer', nth: 1, code: 'ENGINE_REFUSED', details: { reason: 'no' } });
    await expect(watch.turn()).rejects.toMatchObject({ errors: [{ code: 'ENGINE_REFUSED' }] });
    expect((await open()).map(({ message }) => message)).toEqual([expect.stringContaining('could not be seen to')]);
    changes();
    await minutes(1);
    expect(changes()).toEqual(restart());
    await minutes(1);
    expect(changes()).toEqual([]);
  });
});

it('two gates that do not answer are what keeps everybody out of their dashboards, one alone is not', async () => {
  await runs('gate');
  await runs('gate2');
  gate2.does = 'hang';
  await minutes(3);
  expect(await open()).toMatchObject([
    {
      key: `portal/${ENGINE_ID}/gate2`,
      severity: 'warning',
      message: expect.stringContaining('the other one answers for both'),
    },
  ]);
  gate.does = 'hang';
  await minutes(3);
  expect((await open()).toSorted((a, b) => a.key.localeCompare(b.key))).toMatchObject([
    {
      key: `portal/${ENGINE_ID}/gate`,
      severity: 'critical',
      message: expect.stringContaining('nobody gets into a dashboard'),
    },
    { key: `portal/${ENGINE_ID}/gate2`, severity: 'critical' },
  ]);
  expect(changes()).toEqual([`restartContainer ${nameOf('gate2')}`, `restartContainer ${nameOf('gate')}`]);
});

it('an api that answers with an error is one that does not answer, and a warning while the other does', async () => {
  await runs('api');
  api.does = 'fail';
  await minutes(3);
  expect(await open()).toMatchObject([
    { key: `portal/${ENGINE_ID}/api`, severity: 'warning', message: expect.stringContaining('it answered 503') },
  ]);
  expect(changes()).toEqual([`restartContainer ${nameOf('api')}`]);
});

it('an api that only ends what it has begun is left alone, and one that hangs behind its other port is not', async () => {
  await runs('api');
  api.close();
  leaving.does = 'leave';
  await minutes(5);
  expect([await open(), changes(), watch.doubts]).toEqual([[], [], false]);
  leaving.does = 'answer';
  await minutes(3);
  expect(await open()).toMatchObject([{ key: `portal/${ENGINE_ID}/api`, severity: 'warning' }]);
  expect(changes()).toEqual([`restartContainer ${nameOf('api')}`]);
});

it('two apis that do not answer are what keeps everybody out', async () => {
  await runs('api');
  await runs('api2');
  api2.does = 'hang';
  await minutes(3);
  expect(await open()).toMatchObject([{ key: `portal/${ENGINE_ID}/api2`, severity: 'warning' }]);
  api.does = 'hang';
  await minutes(3);
  expect((await open()).toSorted((a, b) => a.key.localeCompare(b.key))).toMatchObject([
    { key: `portal/${ENGINE_ID}/api`, severity: 'critical', message: expect.stringContaining('nobody can sign in') },
    { key: `portal/${ENGINE_ID}/api2`, severity: 'critical' },
  ]);
  expect(changes()).toEqual([`restartContainer ${nameOf('api2')}`, `restartContainer ${nameOf('api')}`]);
});

it.each<[string, () => Promise<unknown>, string]>([
  ['stopped', () => runs('api').then(() => world.engine.stopContainer(nameOf('api'), 1, bounds)), 'is exited'],
  ['paused', () => runs('api').then(() => world.engine.pause(nameOf('api'))), 'is paused'],
  ['missing', () => Promise.resolve(), 'is not there'],
  ['of another platform', () => runs('api', { [LABEL.platform]: 'another' }), 'is not there'],
  ['of a stack', () => runs('api', { [LABEL.role]: 'tenant' }), 'is not there'],
])('FM-15 a container that is %s is an alarm and left alone', async (_what, made, says) => {
  await made();
  world.engine.log.reset();
  api.does = 'hang';
  await minutes(5);
  expect(await open()).toMatchObject([{ key: `portal/${ENGINE_ID}/api`, message: expect.stringContaining(says) }]);
  expect([changes(), await audited()]).toEqual([[], []]);
});

it('stacks that only the way there does not serve are not the trouble of their host', async () => {
  for (let count = 0; count < 4; count += 1) {
    const { operation, stack } = await world.stacks.create(await world.account(), { template: 'standard' });
    await world.runner().run(operation.id, stack.id, never);
  }
  const refuse = (): Promise<void> => Promise.reject(new DomainError('HEALTH_GATE_FAILED', { message: 'silence' }));
  const unwell = async (probes: Partial<Probes>): Promise<number | undefined> => {
    const reconciler = world.reconciler({ probes: { ...healthyProbes, ...probes } });
    await reconciler.pass(never);
    for (const { id } of await world.database.dataSource.manager.find(TenantEntity)) {
      await reconciler.look(id, never);
    }
    return reconciler.fleetUnwell?.unwell;
  };
  expect(await unwell({ served: refuse })).toBeUndefined();
  expect(await unwell({ served: refuse, ready: refuse })).toBe(4);
});
