import { shuffled } from '../chaos/schedule.js';
import type { Point } from './door.js';

/** The points in an order that the seed alone decides. */
export function inRandomOrder(points: readonly Point[], seed: number, key: string): Point[] {
  const order = shuffled(
    points.map((_, index) => index),
    seed,
    key,
  );
  return order.flatMap((index) => points[index] ?? []);
}
