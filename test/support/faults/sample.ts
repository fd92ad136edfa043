import { shuffled } from '../chaos/schedule.js';
import type { Point } from './door.js';

export interface NamedPoint {
  point: Point;
  step: string;
}

/** The points in an order that the seed alone decides. */
export function inRandomOrder(points: readonly NamedPoint[], seed: number, key: string): NamedPoint[] {
  const order = shuffled(
    points.map((_, index) => index),
    seed,
    key,
  );
  return order.flatMap((index) => points[index] ?? []);
}
