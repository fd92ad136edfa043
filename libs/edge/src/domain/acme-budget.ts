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
} as const;

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
