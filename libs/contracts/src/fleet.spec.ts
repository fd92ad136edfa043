import { engineTroubles, queueIsOld, type EngineFigures, type EngineStanding } from './fleet.js';

const at = '2026-11-21T14:00:00.000Z';
const figures: EngineFigures = {
  at,
  pass: { at, seconds: 1.8, stacks: 412 },
  reconcileLagSeconds: 200,
  routes: { at, rendered: 412, served: 412 },
  proxyRepairs: { files: 3, restarts: 1 },
  routeLagMs: 340,
  acme: null,
};
const engine = (part: Partial<EngineFigures>, of: Partial<EngineStanding> = {}): EngineStanding => ({
  engine: 'local',
  seenAt: '2026-11-21T13:59:50.000Z',
  lease: { owner: 'local@h#1', takenAt: at, expiresAt: at, held: true },
  standBy: [],
  figures: { ...figures, ...part },
  ...of,
});
const troubles = (of: EngineStanding) => engineTroubles(of, at);

describe('the fleet', () => {
  it('knows a queue that nobody takes from', () => {
    const counts = { queued: 1, running: 0, overdue: 0, failedLastDay: 0, doneLastDay: 0 };
    const old = (oldestQueuedSeconds: number | null) => queueIsOld({ operations: { ...counts, oldestQueuedSeconds } });
    expect([null, 4, 30, 31].map(old)).toEqual([false, false, false, true]);
  });

  it('finds nothing wrong with an engine that is well, or of which nothing was said yet', () => {
    expect(troubles(engine({}))).toEqual([]);
    expect(troubles(engine({ pass: null, routes: null, routeLagMs: null }))).toEqual([]);
    expect(troubles(engine({}, { lease: null, figures: null }))).toEqual([]);
  });

  it('names what somebody has to see to, and of an engine nobody is heard of no more than that', () => {
    const spent = { left: 0, of: 4 };
    const bad = engine({
      reconcileLagSeconds: 601,
      routes: { at, rendered: 412, served: 411 },
      acme: { certificates: [{ name: 'portal', issued: spent, failed: spent, nextAt: at }], shared: spent },
    });
    expect(troubles(bad)).toEqual(['routesNotServed', 'lag', 'ordersSpent']);
    expect(troubles(engine({ routes: { at, rendered: 0, served: null } }))).toEqual(['proxySilent']);
    // An agent that lives and says nothing new of what it does.
    expect(troubles(engine({ at: '2026-11-21T13:53:11.000Z' }))).toEqual([]);
    expect(troubles(engine({ at: '2026-11-21T13:53:09.000Z' }))).toEqual(['lag']);
    const lease = { owner: 'local@h#1', takenAt: at, expiresAt: at, held: false };
    expect(troubles({ ...bad, lease })).toEqual(['noAgent', 'routesNotServed', 'lag', 'ordersSpent']);
    expect(troubles({ ...bad, lease, seenAt: '2026-11-21T13:59:29.000Z' })).toEqual(['silent']);
  });
});
