import type { ContainerFigures, HostFigures } from './host-files.js';
import { between, sampleHost, sampleStacks, type Look, type Place } from './meter.js';

const figures = (more: Partial<ContainerFigures> = {}): ContainerFigures => ({
  cpuSeconds: 10,
  throttledSeconds: 0,
  memoryBytes: 1_000,
  memoryLimitBytes: 4_000,
  oomKills: 0,
  pids: 3,
  traffic: { receivedBytes: 500, sentBytes: 50 },
  ...more,
});
const look = <T>(atMs: number, seen: T): Look<T> => ({ atMs, figures: seen });

describe('between two looks', () => {
  it('divides processor time by the time that passed and counts traffic', () => {
    const after = figures({ cpuSeconds: 40, traffic: { receivedBytes: 1_500, sentBytes: 70 } });
    expect(between(look(1_000, figures()), look(61_000, after))).toEqual({
      cpu: 0.5,
      receivedBytes: 1_000,
      sentBytes: 20,
    });
  });

  it('says nothing of what is seen for the first time', () => {
    expect(between(undefined, look(1, figures()))).toEqual({ cpu: null, receivedBytes: null, sentBytes: null });
  });

  it('counts from 0 after a restart instead of going below it', () => {
    const after = figures({ cpuSeconds: 3, traffic: { receivedBytes: 20, sentBytes: 5 } });
    expect(between(look(0, figures()), look(60_000, after))).toEqual({ cpu: 0.05, receivedBytes: 20, sentBytes: 5 });
  });

  it('knows no traffic where there is no way out', () => {
    const none = figures({ traffic: null });
    expect(between(look(0, none), look(60_000, none))).toMatchObject({ receivedBytes: null, sentBytes: null });
  });
});

describe('samples of stacks', () => {
  const places = new Map<string, Place>([
    ['a-runtime', { tenantId: 'a', service: 'runtime' }],
    ['a-postgres', { tenantId: 'a', service: 'postgres' }],
    ['b-runtime', { tenantId: 'b', service: 'runtime' }],
  ]);
  const before = look(
    0,
    new Map([
      ['a-runtime', figures()],
      ['a-postgres', figures({ traffic: null })],
      ['b-runtime', figures()],
    ]),
  );

  it('adds up the services of each stack and nobody else’s', () => {
    const after = look(
      60_000,
      new Map([
        ['a-runtime', figures({ cpuSeconds: 16, memoryBytes: 2_000, traffic: { receivedBytes: 900, sentBytes: 60 } })],
        ['a-postgres', figures({ cpuSeconds: 13, memoryBytes: 5_000, traffic: null })],
        ['b-runtime', figures({ cpuSeconds: 70 })],
        ['foreign', figures({ cpuSeconds: 1_000 })],
      ]),
    );
    const samples = sampleStacks(places, before, after);
    expect([...samples.keys()]).toEqual(['a', 'b']);
    const a = samples.get('a');
    expect(a).toMatchObject({ memoryBytes: 7_000, receivedBytes: 400, sentBytes: 10, diskBytes: null });
    expect(a?.cpu).toBeCloseTo(0.15, 10);
    expect(a?.services.map(({ service, memoryBytes }) => [service, memoryBytes])).toEqual([
      ['postgres', 5_000],
      ['runtime', 2_000],
    ]);
    expect(samples.get('b')?.cpu).toBeCloseTo(1, 10);
  });

  it('does not call the part it knows the whole', () => {
    const after = look(
      60_000,
      new Map([
        ['a-runtime', figures({ cpuSeconds: 16 })],
        ['a-postgres', figures()],
      ]),
    );
    const onlyRuntime = look(0, new Map([['a-runtime', figures()]]));
    expect(sampleStacks(places, onlyRuntime, after).get('a')).toMatchObject({ cpu: null, memoryBytes: 2_000 });
  });
});

it('samples the host the same way', () => {
  const host: HostFigures = {
    cpuSeconds: 100,
    cores: 2,
    memoryBytes: 5,
    memoryTotalBytes: 10,
    diskBytes: 7,
    diskTotalBytes: 70,
    traffic: { receivedBytes: 1, sentBytes: 2 },
  };
  expect(sampleHost(look(0, host), look(10_000, { ...host, cpuSeconds: 115 }))).toEqual({
    cpu: 1.5,
    cores: 2,
    memoryBytes: 5,
    memoryTotalBytes: 10,
    diskBytes: 7,
    diskTotalBytes: 70,
    receivedBytes: 0,
    sentBytes: 0,
  });
});
