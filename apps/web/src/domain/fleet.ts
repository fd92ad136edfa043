import {
  STACK_STATUS,
  type EngineFigures,
  type EngineStanding,
  type FleetOverview,
  type OperationView,
  type StackStatus,
} from '#libs/contracts';

/** Statuses as the overview lists them: what runs first, then what rests, what works, what worries. */
export const STATUS_ORDER: readonly StackStatus[] = [
  'running',
  'asleep',
  'stopped',
  'queued',
  'creating',
  'starting',
  'stopping',
  'restarting',
  'hibernating',
  'waking',
  'changing',
  'restoring',
  'deleting',
  'repairing',
  'suspended',
  'attention',
  'unknown',
  'deleted',
];

export function countsInOrder(overview: FleetOverview): { status: StackStatus; count: number }[] {
  return STATUS_ORDER.map((status) => ({ status, count: overview.stacks.byStatus[status] ?? 0 })).filter(
    ({ count }) => count > 0,
  );
}

/** The order of cells: worst first, so that trouble stands in one place however large the fleet is. */
const WORST: Record<string, number> = { bad: 0, none: 1, warn: 2, work: 3, ok: 4, off: 5 };
export function worstFirst<T extends { status: StackStatus; slug: string }>(stacks: readonly T[]): T[] {
  return stacks.toSorted((a, b) => {
    const rank = (WORST[STACK_STATUS[a.status].tone] ?? 9) - (WORST[STACK_STATUS[b.status].tone] ?? 9);
    return rank === 0 ? a.slug.localeCompare(b.slug) : rank;
  });
}

export interface CodeCount {
  code: string;
  count: number;
  newest: OperationView;
}

/** Failures by reason, the most frequent first; operations come newest first. */
export function groupByCode(operations: readonly OperationView[]): CodeCount[] {
  const groups = new Map<string, CodeCount>();
  for (const operation of operations) {
    const code = operation.error?.code ?? 'INTERNAL';
    const group = groups.get(code);
    if (group === undefined) {
      groups.set(code, { code, count: 1, newest: operation });
    } else {
      group.count += 1;
    }
  }
  return [...groups.values()].toSorted((a, b) => b.count - a.count);
}

/**
 * Of all engines in one line: the newest look at the one that was looked at longest ago, and routes together. Null where
 * one of them is not known.
 */
export function newsOfEngines(engines: readonly EngineStanding[]): {
  pass: NonNullable<EngineFigures['pass']> | null;
  routes: { served: number; rendered: number } | null;
} {
  const passes = engines.map(({ figures }) => figures?.pass ?? null);
  const routes = engines.map(({ figures }) => figures?.routes ?? null);
  const known = passes.filter((pass) => pass !== null);
  return {
    pass:
      known.length < passes.length ? null : (known.toSorted((a, b) => Date.parse(a.at) - Date.parse(b.at))[0] ?? null),
    routes: routes.reduce<{ served: number; rendered: number } | null>(
      (sum, one) =>
        sum === null || one === null || one.served === null
          ? null
          : { served: sum.served + one.served, rendered: sum.rendered + one.rendered },
      engines.length === 0 ? null : { served: 0, rendered: 0 },
    ),
  };
}
