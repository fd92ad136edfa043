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

describe('FM-13 the making anew of an own container that a crash cut short is finished, wherever it was', () => {
  const clear = async (): Promise<void> => {
    for (const { name } of (await engine.observe({ platform: PLATFORM }, bounds)).containers) {
      await engine.removeContainer(name, { platform: PLATFORM }, bounds);
    }
    engine.log.reset();
  };
  beforeEach(clear);
  afterAll(clear);
  const made = (container: ContainerSpec): ContainerSpec => ({
    ...container,
    labels: { ...container.labels, [LABEL.remade]: 'true' },
  });
  const lookTwice = async (): Promise<string[]> => {
    const revived = await reviveOwn(engine, PLATFORM, quiet);
    expect(await reviveOwn(engine, PLATFORM, quiet)).toEqual([]);
    return revived;
  };

  it('FM-13 before the new one was made', async () => {
    await ended(spec('database-stuck', 'portal'), 255);
    expect(await lookTwice()).toEqual(['database']);
    expect(await states()).toEqual(['database running']);
  });

  it('FM-13 before the new one was whole', async () => {
    await ended(spec('database-stuck', 'portal'), 255);
    await engine.createContainer(made(spec('database', 'portal')), bounds);
    expect(await lookTwice()).toEqual(['database']);
    expect(await states()).toEqual(['database running']);
  });

  it('FM-13 before the new one was started, or where its start was refused', async () => {
    await engine.createContainer(made(spec('database', 'portal')), bounds);
    // Made by somebody who is about to start it.
    await engine.createContainer(spec('gate', 'portal'), bounds);
    expect(await lookTwice()).toEqual(['database']);
    expect(await states()).toEqual(['database running', 'gate created']);
  });

  it('FM-13 before the old one was removed, while the new one runs', async () => {
    await ended(spec('database-stuck', 'portal'), 255);
    await engine.createContainer(made(spec('database', 'portal')), bounds);
    await engine.startContainer('database', bounds);
    expect(await lookTwice()).toEqual([]);
    expect(await states()).toEqual(['database running']);
  });

  it('FM-13 and where that is refused the others come up, and neither of the two is started', async () => {
    await ended(spec('database-stuck', 'portal'), 255);
    await engine.createContainer(made(spec('database', 'portal')), bounds);
    await ended(spec('gate', 'portal'), 255);
    engine.log.failOn({ method: 'remakeContainer', nth: 1, code: 'ENGINE_REFUSED', details: { reason: 'busy' } });
    await expect(reviveOwn(engine, PLATFORM, quiet)).rejects.toThrow(/could not be brought up: database$/);
    expect(await states()).toEqual(['database created', 'database-stuck exited', 'gate running']);
    expect(await lookTwice()).toEqual(['database']);
    expect(await states()).toEqual(['database running', 'gate running']);
  });
});
