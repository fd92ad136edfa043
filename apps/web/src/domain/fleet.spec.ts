import { STACK_STATUS, type EngineStanding, type FleetOverview, type OperationView } from '#libs/contracts';
import { countsInOrder, groupByCode, newsOfEngines, STATUS_ORDER, worstFirst } from './fleet.js';

const overview = (part: Partial<FleetOverview['stacks']>): FleetOverview => ({
  at: '2026-11-21T14:00:00.000Z',
  stacks: { total: 0, asWanted: 0, byStatus: {}, ...part },
  operations: { queued: 0, running: 0, overdue: 0, failedLastDay: 0, doneLastDay: 0, oldestQueuedSeconds: null },
  users: { total: 0, byState: {} },
  outbox: { queued: 0, failed: 0, kept: 0, sentLastDay: 0 },
  engines: [],
});
const failed = (id: string, code: string): OperationView => ({ id, error: { code } }) as OperationView;

describe('fleet', () => {
  it('orders every status there is', () => {
    expect([...STATUS_ORDER].sort()).toEqual(Object.keys(STACK_STATUS).sort());
    expect(countsInOrder(overview({ byStatus: { attention: 2, running: 5, stopped: 0 } }))).toEqual([
      { status: 'running', count: 5 },
      { status: 'attention', count: 2 },
    ]);
  });
  it('puts trouble first', () => {
    const stacks = [
      { slug: 'ub', status: 'running' as const },
      { slug: 'uc', status: 'attention' as const },
      { slug: 'ua', status: 'running' as const },
      { slug: 'ud', status: 'unknown' as const },
    ];
    expect(worstFirst(stacks).map((stack) => stack.slug)).toEqual(['uc', 'ud', 'ua', 'ub']);
  });
  it('groups failures by reason and keeps the newest', () => {
    const groups = groupByCode([failed('1', 'A'), failed('2', 'B'), failed('3', 'B')]);
    expect(groups.map((group) => [group.code, group.count, group.newest.id])).toEqual([
      ['B', 2, '2'],
      ['A', 1, '1'],
    ]);
  });
  it('tells of all engines what is known of each of them', () => {
    const at = (minute: number) => `2026-11-21T14:0${minute}:00.000Z`;
    const engine = (minute: number | null, served: number | null): EngineStanding =>
      ({
        figures: {
          pass: minute === null ? null : { at: at(minute), seconds: minute, stacks: 1 },
          routes: { at: at(0), rendered: 5, served },
        },
      }) as EngineStanding;
    expect(newsOfEngines([])).toEqual({ pass: null, routes: null });
    expect(newsOfEngines([engine(4, 5), engine(2, 4)])).toEqual({
      pass: { at: at(2), seconds: 2, stacks: 1 },
      routes: { served: 9, rendered: 10 },
    });
    expect(newsOfEngines([engine(4, 5), engine(null, null)])).toEqual({ pass: null, routes: null });
    expect(newsOfEngines([engine(4, 5), { figures: null } as EngineStanding])).toEqual({ pass: null, routes: null });
  });
});
