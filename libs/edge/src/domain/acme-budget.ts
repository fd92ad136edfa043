import { z } from 'zod';

/** One attempt to get a certificate, as it is kept on disk. */
export const orderSchema = z.strictObject({
  at: z.iso.datetime(),
  certificate: z.string(),
  outcome: z.enum(['started', 'issued', 'failed']),
});
export type Order = z.infer<typeof orderSchema>;

const DAY_MS = 86_400_000;

/**
 * Let's Encrypt issues the same set of names five times in seven days and answers no more after five failed
 * validations of a name in an hour; both have cost others a week without HTTPS. We stay below each, and count an
 * attempt that never ended as a failed one.
 */
export const BUDGET = {
  issued: { most: 4, withinMs: 7 * DAY_MS },
  failed: { most: 4, withinMs: DAY_MS / 2 },
  /** An account may order 300 times in three hours; what customers' domains leave is for the platform's own. */
  shared: { most: 200, withinMs: DAY_MS / 8 },
} as const;

/** From when on a certificate of a customer's domain may be ordered, whichever it is; null when it is now. */
export function nextSharedOrderAt(orders: readonly Order[], now: Date): Date | null {
  const { most, withinMs } = BUDGET.shared;
  const blocking = orders.map((order) => Date.parse(order.at)).toSorted((a, b) => b - a)[most - 1];
  return blocking !== undefined && blocking + withinMs > now.getTime() ? new Date(blocking + withinMs) : null;
}

/** From when on another order is within the budget; null when it is now. */
export function nextOrderAt(orders: readonly Order[], certificate: string, now: Date): Date | null {
  const times = (issued: boolean): number[] =>
    orders
      .filter((order) => order.certificate === certificate && (order.outcome === 'issued') === issued)
      .map((order) => Date.parse(order.at))
      .toSorted((a, b) => b - a);
  const waits = [
    { past: times(true), ...BUDGET.issued },
    { past: times(false), ...BUDGET.failed },
  ].flatMap(({ past, most, withinMs }) => {
    // The newest `most` attempts: once the oldest of them has left the window there is room for one more.
    const blocking = past[most - 1];
    return blocking !== undefined && blocking + withinMs > now.getTime() ? [blocking + withinMs] : [];
  });
  return waits.length === 0 ? null : new Date(Math.max(...waits));
}

/** What is worth keeping: nothing that no budget looks at any more. */
export function recentOrders(orders: readonly Order[], now: Date): Order[] {
  return orders.filter((order) => Date.parse(order.at) + BUDGET.issued.withinMs > now.getTime());
}
