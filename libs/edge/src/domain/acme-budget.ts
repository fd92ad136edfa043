import { z } from 'zod';
import type { AcmeBudget } from '#libs/contracts';

/** One attempt to get a certificate, as it is kept on disk. */
export const orderSchema = z.strictObject({
  at: z.iso.datetime(),
  certificate: z.string(),
  /** Whose it is, of a customer's domain. Names come and go, so they alone would bound nobody. */
  account: z.string().optional(),
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
  /** One customer's part of it: two stacks' domains at once. A renewal has thirty days to wait for its turn. */
  account: { most: 10, withinMs: DAY_MS / 8 },
} as const;

interface Budget {
  most: number;
  withinMs: number;
}

/** From when on a certificate of that customer's domains may be ordered, whichever it is; null when it is now. */
export function nextSharedOrderAt(orders: readonly Order[], account: string, now: Date): Date | null {
  return latest(
    [
      nextAt(orders, BUDGET.shared, now),
      nextAt(
        orders.filter((order) => order.account === account),
        BUDGET.account,
        now,
      ),
    ].filter((next) => next !== null),
  );
}

/** From when on another order is within the budget; null when it is now. */
export function nextOrderAt(orders: readonly Order[], certificate: string, now: Date): Date | null {
  const { issued, failed } = past(orders, certificate);
  return latest(
    [nextAt(issued, BUDGET.issued, now), nextAt(failed, BUDGET.failed, now)].filter((next) => next !== null),
  );
}

/** One that never ended counts as failed. */
function past(orders: readonly Order[], certificate: string): { issued: Order[]; failed: Order[] } {
  const own = orders.filter((order) => order.certificate === certificate);
  return {
    issued: own.filter(({ outcome }) => outcome === 'issued'),
    failed: own.filter(({ outcome }) => outcome !== 'issued'),
  };
}

/** What of the budget is left for these certificates, and for customers' domains. */
export function budgetLeft(orders: readonly Order[], certificates: readonly string[], now: Date): AcmeBudget {
  const left = (counted: readonly Order[], { most, withinMs }: Budget): { left: number; of: number } => ({
    left: Math.max(0, most - counted.filter((order) => Date.parse(order.at) + withinMs > now.getTime()).length),
    of: most,
  });
  return {
    certificates: certificates.map((name) => {
      const { issued, failed } = past(orders, name);
      return {
        name,
        issued: left(issued, BUDGET.issued),
        failed: left(failed, BUDGET.failed),
        nextAt: nextOrderAt(orders, name, now)?.toISOString() ?? null,
      };
    }),
    shared: left(orders, BUDGET.shared),
  };
}

const latest = (times: readonly Date[]): Date | null => times.toSorted((a, b) => b.getTime() - a.getTime())[0] ?? null;

/** The newest `most` of these: once the oldest of them has left the window there is room for one more. */
function nextAt(orders: readonly Order[], { most, withinMs }: Budget, now: Date): Date | null {
  const blocking = orders.map((order) => Date.parse(order.at)).toSorted((a, b) => b - a)[most - 1];
  return blocking !== undefined && blocking + withinMs > now.getTime() ? new Date(blocking + withinMs) : null;
}

/** What is worth keeping: nothing that no budget looks at any more. */
export function recentOrders(orders: readonly Order[], now: Date): Order[] {
  return orders.filter((order) => Date.parse(order.at) + BUDGET.issued.withinMs > now.getTime());
}
