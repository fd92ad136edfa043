import { pino } from 'pino';
import type { Accepted, ErrorBody } from '#libs/contracts';
import { DomainError } from '#libs/contracts';
import { OperationEntity } from '#libs/db';
import type { Engine } from '#libs/engine';
import { person, testApi, type TestApi } from '../support/api.js';
import { stackWorld, type StackWorld } from '../support/stack-world.js';

interface Line {
  level: number;
  msg: string;
  req?: { id: string; path: string };
  errorId?: string;
  err?: { message: string };
  operation?: string;
  stack?: string;
  phase?: string;
}
const parsed = (lines: readonly string[]): Line[] => lines.map((line) => JSON.parse(line) as Line);

describe('every line of a request', () => {
  let t: TestApi;
  beforeAll(async () => {
    t = await testApi();
  }, 60_000);
  afterAll(() => t.close());

  it('carries its id, which the answer has too and nobody outside chooses, also of requests at once', async () => {
    const { auth } = await person(t);
    const list = jest
      .spyOn(t.api.services.stacks, 'list')
      .mockRejectedValueOnce(new Error('the first'))
      .mockRejectedValueOnce(new Error('the second'));
    const from = t.logs.length;
    const chosen = '0190a000-0000-7000-8000-000000000001';
    const asked = (path: string) => t.http.get(path).set(auth).set('X-Request-Id', chosen);
    const answers = await Promise.all([asked('/api/v1/stacks'), asked('/api/v1/stacks'), asked('/api/v1/auth/me')]);
    list.mockRestore();
    expect(answers.map(({ status }) => status)).toEqual([500, 500, 200]);
    const ids = answers.map(({ headers }) => String(headers['x-request-id']));
    expect(new Set([...ids, chosen]).size).toBe(4);
    const errorIds = answers.slice(0, 2).map(({ body }) => (body as ErrorBody).errorId);
    expect(errorIds).toEqual(ids.slice(0, 2));

    const lines = parsed(t.logs.slice(from));
    // No line is without the id of one of them.
    expect(lines.filter(({ req }) => !ids.includes(req?.id ?? ''))).toEqual([]);
    const of = (id: string | undefined): Line[] => lines.filter(({ req }) => req?.id === id);
    const told = ids.slice(0, 2).map((id) => of(id).map(({ errorId, err }) => errorId === id && err?.message));
    // What went wrong, and the request's own line.
    expect(told.toSorted((a, b) => String(a).localeCompare(String(b)))).toEqual([
      ['the first', false],
      ['the second', false],
    ]);
    expect(of(ids[2]).map(({ req }) => req?.path)).toEqual(['/api/v1/auth/me']);
  });
});

describe('every line of an operation', () => {
  let world: StackWorld;
  const written: string[] = [];
  const never = new AbortController().signal;
  beforeAll(async () => {
    world = await stackWorld({
      logger: pino({ level: 'debug' }, { write: (line: string) => void written.push(line) }),
    });
  }, 60_000);
  afterAll(() => world.close());
  beforeEach(() => written.splice(0));

  const created = async (): Promise<Accepted> => world.stacks.create(await world.account(), { template: 'standard' });
  const run = ({ operation, stack }: Accepted, engine: Engine = world.engine): Promise<void> =>
    // A machine that is slow must not find the lease gone before the work does.
    world.runner({ engine, leaseSeconds: 600 }).run(operation.id, stack.id, never);
  const row = ({ operation }: Accepted): Promise<OperationEntity> =>
    world.database.dataSource.manager.findOneByOrFail(OperationEntity, { id: operation.id });
  /** The engine, but for what a create of a container does. */
  const engineThat = (create: () => Promise<void>): Engine =>
    new Proxy<Engine>(world.engine, {
      get: (engine, name) => {
        const value: unknown = Reflect.get(engine, name, engine);
        return name === 'createContainer' ? create : typeof value === 'function' ? value.bind(engine) : value;
      },
    });

  it('carries its id and stack, also of operations at once; a failed one’s errorId finds why', async () => {
    const [good, bad] = [await created(), await created()];
    const refuse = (): Promise<void> => Promise.reject(new Error('the engine’s own words'));
    await Promise.all([run(good), run(bad, engineThat(refuse))]);
    const [done, failed] = [await row(good), await row(bad)];
    expect([done.state, failed.state]).toEqual(['done', 'failed']);
    const lines = parsed(written);
    expect(lines.filter(({ operation }) => operation !== done.id && operation !== failed.id)).toEqual([]);
    const of = (id: string): unknown[] =>
      lines.flatMap(({ operation, stack, msg, errorId, err }) =>
        operation === id ? [{ stack, msg, errorId, why: err?.message }] : [],
      );
    expect(of(done.id)).toEqual([{ stack: good.stack.slug, msg: 'operation done' }]);
    expect(of(failed.id)).toEqual([
      {
        stack: bad.stack.slug,
        msg: 'operation ended without success',
        errorId: failed.error?.errorId,
        why: 'the engine’s own words',
      },
    ]);
  });

  it('carries it where the work waits for its engine, and where another took it over', async () => {
    const [waits, lost] = [await created(), await created()];
    await run(
      waits,
      engineThat(() => Promise.reject(new DomainError('ENGINE_UNREACHABLE'))),
    );
    await run(
      lost,
      engineThat(async () => {
        await world.database.dataSource.query('update operations set fencing = fencing + 1 where id = $1', [
          lost.operation.id,
        ]);
        throw new Error('refused');
      }),
    );
    expect(parsed(written).map(({ operation, msg }) => [operation, msg])).toEqual([
      [waits.operation.id, 'engine away, the operation waits for it'],
      [lost.operation.id, 'could not note the failure of a phase'],
      [lost.operation.id, 'operation ended without success'],
    ]);
  });
});
