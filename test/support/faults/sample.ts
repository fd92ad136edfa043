import { shuffled } from '../chaos/schedule.js';
import type { Point } from './door.js';

/** The points in an order that the seed alone decides, in whichever order they are given: calls side by side come in any. */
export function inRandomOrder(points: readonly Point[], seed: number, key: string): Point[] {
  const named = new Map(points.map((point) => [`${point.step} ${point.nth} ${point.moment}`, point]));
  return shuffled([...named.keys()], seed, key).flatMap((name) => named.get(name) ?? []);
}
