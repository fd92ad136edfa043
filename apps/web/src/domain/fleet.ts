import { STACK_STATUS, type FleetOverview, type OperationView, type StackStatus } from '#libs/contracts';

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

/** A queue older than this means that nobody takes from it. */
const QUEUE_OLD_SECONDS = 30;
export function queueIsOld(overview: FleetOverview): boolean {
  return (overview.operations.oldestQueuedSeconds ?? 0) > QUEUE_OLD_SECONDS;
}
