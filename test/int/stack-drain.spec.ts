import { createPublicKey } from 'node:crypto';
import { DomainError, type Accepted, type HoldAnswer } from '#libs/contracts';
import { OperationStepEntity, TenantEntity, type ReleaseEntity } from '#libs/db';
import type { Probes } from '#libs/orchestrator';
import { nextRelease } from '../support/next-release.js';
import { readyBackups } from '../support/ready-backups.js';
import { runningStack, type RunningStack } from '../support/running-stack.js';
import { healthyProbes, stackWorld, type StackWorld } from '../support/stack-world.js';

jest.setTimeout(60_000);

const never = new AbortController().signal;
let world: StackWorld;
let next: ReleaseEntity;
beforeAll(async () => {
  world = await stackWorld();
  [, next] = await nextRelease(world);
});
afterAll(() => world.close());

const running = (): Promise<RunningStack> => runningStack(world);

/** The operation from its request to its end, with a stack that answers so; what happened in which order. */
async function carriedOut(
  { id, slug }: RunningStack,
  accepted: Pick<Accepted, 'operation'>,
  answers: Partial<Probes>,
): Promise<{ state: string; order: string[]; drains: (string | null)[][]; phases: string[] }> {
  const order: string[] = [];
  const hold: Probes['hold'] = async (...asked) => {
    order.push('drain');
    return answers.hold ? answers.hold(...asked) : { held: 0, openOrders: 0 };
  };
  world.engine.log.reset();
  const stopContainer = world.engine.stopContainer.bind(world.engine);
  const watched = jest.spyOn(world.engine, 'stopContainer').mockImplementation(async (name, ...rest) => {
    if (name.includes(slug) && name.endsWith('-runtime')) {
      order.push('stop');
    }
    return stopContainer(name, ...rest);
  });
  try {
    const probes = { ...healthyProbes, ...answers, hold };
    await world
      .runner({ probes, backups: readyBackups, databases: { changePassword: () => Promise.resolve(true) } })
      .run(accepted.operation.id, id, never);
  } finally {
    watched.mockRestore();
  }
  const { manager } = world.database.dataSource;
  const [operation] = await manager.query<{ state: string }[]>('select state from operations where id = $1', [
    accepted.operation.id,
  ]);
  const steps = await manager.find(OperationStepEntity, {
    where: { operationId: accepted.operation.id },
    order: { seq: 'ASC' },
  });
  return {
    state: operation?.state ?? '',
    order,
    drains: steps.filter(({ action }) => action === 'drain bots').map(({ state, detail }) => [state, detail]),
    phases: steps.filter(({ action, state }) => action === null && state === 'failed').map(({ phase }) => phase),
  };
}

const threeBots: Partial<Probes> = { hold: () => Promise.resolve({ held: 3, openOrders: 0 }) };

describe('FM-25 a stack whose bots have open orders', () => {
  const requests: Record<string, (stack: RunningStack) => Promise<Pick<Accepted, 'operation'>>> = {
    restart: ({ owner, slug }) => world.stacks.request(owner, slug, 'restart'),
    stop: ({ owner, slug }) => world.stacks.request(owner, slug, 'stop'),
    'new secrets': ({ owner, slug }) => world.resize.rotateSecrets(owner, slug),
    'another number of bots': async ({ slug }) => world.resize.resize(await world.operator(), slug, 'premium'),
    suspend: async ({ slug }) => world.holds.suspend(await world.operator(), slug, 'tried'),
    'another release': async ({ slug }) => world.upgrades.upgrade(await world.operator(), slug, { release: next.id }),
    destroy: ({ owner, slug }) => world.stacks.request(owner, slug, 'destroy'),
  };

  it.each(Object.keys(requests))('FM-25 has its open orders taken back before it stops for: %s', async (name) => {
    const stack = await running();
    const accepted = await requests[name]?.(stack);
    expect(accepted).toBeDefined();
    const { state, order, drains } = await carriedOut(stack, accepted as Accepted, threeBots);
    expect([state, order, drains]).toEqual([
      'done',
      ['drain', 'stop'],
      [['done', 'open orders are taken back, of bots: 3']],
    ]);
  });

  it('FM-25 has its open orders taken back before a repair restarts it', async () => {
    const stack = await running();
    const reconciler = world.reconciler({ probes: unwell(), times: { againMs: 0 } });
    let accepted: { id: string } | undefined;
    for (let look = 0; look < 10 && accepted === undefined; look += 1) {
      await reconciler.look(stack.id, never);
      [accepted] = await world.database.dataSource.query<{ id: string }[]>(
        `select id from operations where tenant_id = $1 and kind = 'repair' and state = 'queued'`,
        [stack.id],
      );
    }
    expect(accepted).toBeDefined();
    let asked = 0;
    // Not well until it was restarted.
    const ready: Probes['ready'] = (...args) => ((asked += 1) === 1 ? unwell().ready(...args) : Promise.resolve());
    const { state, order, drains } = await carriedOut(
      stack,
      { operation: { id: accepted?.id ?? '' } } as Pick<Accepted, 'operation'>,
      { ...threeBots, ready },
    );
    expect([state, order, drains]).toEqual([
      'done',
      ['drain', 'stop'],
      [['done', 'open orders are taken back, of bots: 3']],
    ]);
  });

  it('FM-25 restarts all the same when its runtime does not answer, and says so', async () => {
    const stack = await running();
    const accepted = await world.stacks.request(stack.owner, stack.slug, 'restart');
    const { state, order, drains, phases } = await carriedOut(stack, accepted, { hold: () => Promise.resolve(null) });
    expect([state, order, drains, phases]).toEqual([
      'done',
      ['drain', 'drain', 'drain', 'stop'],
      [['failed', 'the runtime did not answer; stopped all the same']],
      [],
    ]);
  });

  it('FM-25 asks again where an answer was lost, and goes on once the orders are back', async () => {
    const stack = await running();
    const accepted = await world.stacks.request(stack.owner, stack.slug, 'restart');
    const answers: (HoldAnswer | null)[] = [{ held: 1, openOrders: 2 }, null, null, { held: 1, openOrders: 0 }];
    const { order, drains } = await carriedOut(stack, accepted, {
      hold: () => Promise.resolve(answers.shift() ?? null),
    });
    expect([order, drains]).toEqual([
      ['drain', 'drain', 'drain', 'drain', 'stop'],
      [['done', 'open orders are taken back, of bots: 1']],
    ]);
  });

  it('FM-25 waits for its orders no longer than it may, and says how many are left', async () => {
    const stack = await running();
    const accepted = await world.stacks.request(stack.owner, stack.slug, 'restart');
    const began = performance.now();
    const left: HoldAnswer = { held: 1, openOrders: 4 };
    const { state, order, drains } = await carriedOut(stack, accepted, { hold: () => Promise.resolve(left) });
    expect(performance.now() - began).toBeLessThan(30_000);
    expect([state, order.at(-1), order.length > 2, drains]).toEqual([
      'done',
      'stop',
      true,
      [['failed', '4 orders are still open after 20 s; stopped all the same']],
    ]);
  });

  it('FM-25 is asked with the key it has, which a rotation replaced just before', async () => {
    const stack = await running();
    const before = await publicKeyOf(stack);
    const accepted = await world.resize.rotateSecrets(stack.owner, stack.slug);
    const keys: string[] = [];
    const { drains } = await carriedOut(stack, accepted, {
      hold: (_facts, key) => {
        const own = createPublicKey(key).export({ format: 'der', type: 'spki' }).toString('base64');
        keys.push(own);
        return Promise.resolve(own === before ? { held: 1, openOrders: 0 } : null);
      },
    });
    expect(keys).toEqual([await publicKeyOf(stack), before]);
    expect(drains).toEqual([['done', 'open orders are taken back, of bots: 1']]);
  });
});

const publicKeyOf = async ({ id }: RunningStack): Promise<string | null> =>
  (await world.database.dataSource.manager.findOneByOrFail(TenantEntity, { id })).publicKey;

const unwell = (): Probes => {
  const silent = () => Promise.reject(new DomainError('HEALTH_GATE_FAILED', { message: 'it says nothing' }));
  return { ...healthyProbes, ready: silent, served: silent };
};
