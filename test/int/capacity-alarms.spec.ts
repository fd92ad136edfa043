import {
  CAPACITY_DEFAULTS,
  CAPACITY_RESOURCES,
  type CapacityLevel,
  type CapacityResource,
  type EngineCapacity,
} from '#libs/contracts';
import { EngineEntity } from '#libs/db';
import { listAlarms } from '#libs/jobs';
import { edgeCount, parsePool, tenantSubnetCount } from '#libs/tenants';
import { ENGINE_ID, stackWorld, type StackWorld } from '../support/stack-world.js';

/** The smallest there may be. */
const POOL = parsePool('10.128.0.0/17');
/** So many that the parts of what they take can be told apart. */
const STACKS = 50;
const ROOMY: EngineCapacity = { memoryMb: 10_000_000, cpus: 100_000 };

let world: StackWorld;
/** The one that was really made; the others are like it in the rows. */
let stackId: string;
beforeAll(async () => {
  world = await stackWorld({ pool: POOL });
  const { operation, stack } = await world.stacks.create(await world.account(), { template: 'standard' });
  await world.runner().run(operation.id, stack.id, new AbortController().signal);
  stackId = stack.id;
  await stacks(STACKS);
}, 60_000);
afterAll(() => world.close());

const rows = () => world.database.dataSource.manager;

/** So many stacks there are, each with a network of its own. */
async function stacks(count: number): Promise<void> {
  await rows().query('delete from tenants where id <> $1', [stackId]);
  await rows().query(
    `insert into tenants
     select (jsonb_populate_record(one, jsonb_build_object('id', gen_random_uuid(),
              'slug', 'u' || translate(lpad(n::text, 6, '0'), '0123456789', 'abcdefghij')))).*
       from tenants as one, generate_series(2, $1::int) as n`,
    [count],
  );
  await rows().query(
    `insert into tenant_subnets (engine_id, subnet, tenant_id)
     select engine_id, row_number() over (), id from tenants where id <> $1`,
    [stackId],
  );
}

/** So many addresses on edge bridges are taken. */
async function edgePorts(count: number): Promise<void> {
  await rows().query(`delete from edge_slots where service like 'more-%'`);
  await rows().query(
    `insert into edge_slots (engine_id, edge, slot, tenant_id, service)
     select $1, 1, n, $2, 'more-' || n
       from generate_series(1, $3::int - (select count(*)::int from edge_slots where engine_id = $1)) as n`,
    [ENGINE_ID, stackId, count],
  );
}

const overcommitOf = ({ overcommit }: EngineCapacity) => overcommit ?? CAPACITY_DEFAULTS.overcommit;

/** Brings it about that of a resource that part is taken, of which `used` is taken now: by rows, or what the host has. */
type Tighten = (share: number, used: number) => Partial<EngineCapacity> | Promise<Partial<EngineCapacity>>;
const TIGHT: Record<CapacityResource, Tighten> = {
  memory: (share, used) => ({ memoryMb: Math.round(used / share / overcommitOf(ROOMY).memory) }),
  cpu: (share, used) => ({ cpus: used / share / overcommitOf(ROOMY).cpu }),
  diskFree: (share) => {
    const floorMb = CAPACITY_DEFAULTS.diskFloorMb;
    return { disk: { totalMb: 100_000 + floorMb, freeMb: Math.round(100_000 * (1 - share)) + floorMb } };
  },
  disk: (share, used) => {
    const totalMb = Math.round(((used / share) * 1_024) / overcommitOf(ROOMY).disk);
    return { disk: { totalMb, freeMb: totalMb } };
  },
  subnets: async (share) => {
    await stacks(Math.round(tenantSubnetCount(POOL) * share));
    return {};
  },
  edgePorts: async (share) => {
    const perEdge = 40;
    await edgePorts(Math.round(edgeCount() * perEdge * share));
    return { edgePorts: perEdge };
  },
  pids: (share, used) => ({ pidMax: Math.round(used / share / overcommitOf(ROOMY).pids) }),
  inotify: (share, used) => ({ cgroupVersion: '2', inotifyInstances: Math.round(used / share) }),
  neighbours: (share, used) => ({ neighbours: Math.round(used / share) }),
};

it.each(CAPACITY_RESOURCES)(
  'FM-1 %s of a host that runs out is an alarm at 80 % and a critical one at 95 %, and over when there is room',
  async (resource) => {
    const alarms = world.engineAlarms({ fleetUnwell: null });
    const has = async (change: Partial<EngineCapacity>): Promise<void> => {
      const capacity = { ...ROOMY, ...change };
      await rows().update(EngineEntity, { id: ENGINE_ID }, { capacity: capacity as never });
      await alarms.turn();
    };
    const item = () => alarms.room.find((each) => each.resource === resource);
    const seen = async (share: number): Promise<{ level: CapacityLevel | undefined; open: unknown[] }> => {
      await has({});
      await has(await TIGHT[resource](share, item()?.used ?? 0));
      const open = (await listAlarms(world.database.dataSource, new Date()))
        .filter(({ endedAt, key }) => endedAt === null && key === `engine/${ENGINE_ID}/capacity/${resource}`)
        .map(({ code, severity }) => [code, severity]);
      return { level: item()?.level, open };
    };
    try {
      expect(await seen(0.78)).toEqual({ level: 'ok', open: [] });
      expect(await seen(0.82)).toEqual({ level: 'warn', open: [['CAPACITY_LOW', 'warning']] });
      expect(await seen(0.97)).toEqual({ level: 'bad', open: [['CAPACITY_LOW', 'critical']] });
      expect(await seen(0.1)).toEqual({ level: 'ok', open: [] });
    } finally {
      await edgePorts(0);
      await stacks(STACKS);
    }
  },
);
