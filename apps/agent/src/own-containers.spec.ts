import { FakeEngine, LABEL, plainContainer, type ContainerSpec } from '#libs/engine';
import { reviveOwn } from './own-containers.js';

const PLATFORM = '0190a000-0000-7000-8000-000000000001';
const bounds = { deadlineMs: 1_000 };
const quiet = { warn: () => undefined };
const engine = new FakeEngine({ images: ['postgres:test'] });

const spec = (name: string, role: string): ContainerSpec =>
  plainContainer(name, { [LABEL.platform]: PLATFORM, [LABEL.role]: role }, { image: 'postgres:test' });

async function ended(container: ContainerSpec, exitCode: number): Promise<void> {
  await engine.createContainer(container, bounds);
  await engine.startContainer(container.name, bounds);
  engine.crash(container.name, exitCode);
}

const states = async (): Promise<string[]> =>
  (await engine.observe({ platform: PLATFORM }, bounds)).containers
    .map(({ name, status }) => `${name} ${status}`)
    .toSorted();

it('FM-13 brings the platform’s own containers up that its engine left behind, and makes one anew that never starts', async () => {
  await ended(spec('database', 'portal'), 255);
  await ended(spec('gate', 'portal'), 255);
  await ended(spec('stopped-by-hand', 'portal'), 0);
  await ended(spec('a-stack', 'tenant'), 255);
  const { id } = (await engine.observe({ platform: PLATFORM }, bounds)).containers.find(
    ({ name }) => name === 'database',
  ) ?? { id: '' };
  engine.log.reset();
  engine.log.failOn({
    method: 'startContainer',
    nth: 1,
    code: 'ENGINE_REFUSED',
    details: { reason: `task ${'ab'.repeat(32)}: already exists` },
  });
  expect((await reviveOwn(engine, PLATFORM, quiet)).toSorted()).toEqual(['database', 'gate']);
  expect(await states()).toEqual(['a-stack exited', 'database running', 'gate running', 'stopped-by-hand exited']);
  expect(engine.log.calls.filter(({ method }) => method === 'remakeContainer').map(({ args }) => args[0])).toEqual([
    'database',
  ]);
  expect((await engine.observe({ platform: PLATFORM }, bounds)).containers.map((one) => one.id)).not.toContain(id);
  expect(await reviveOwn(engine, PLATFORM, quiet)).toEqual([]);
});

it('FM-13 says so where one does not start for another reason, leaves it as it is, and brings the others up', async () => {
  for (const name of ['database', 'gate']) {
    await engine.stopContainer(name, 1, bounds);
    await engine.startContainer(name, bounds);
    engine.crash(name, 255);
  }
  engine.log.reset();
  engine.log.failOn({
    method: 'startContainer',
    nth: 1,
    code: 'ENGINE_REFUSED',
    details: { reason: 'no such network' },
  });
  await expect(reviveOwn(engine, PLATFORM, quiet)).rejects.toMatchObject({
    message: expect.stringContaining('database'),
    errors: [{ code: 'ENGINE_REFUSED', details: { reason: 'no such network' } }],
  });
  expect(await states()).toEqual(['a-stack exited', 'database exited', 'gate running', 'stopped-by-hand exited']);
  expect(engine.log.calls.filter(({ method }) => method === 'remakeContainer')).toEqual([]);
});
