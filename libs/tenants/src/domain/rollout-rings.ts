import type { RolloutSettings } from '#libs/contracts';

/**
 * How many stacks are in each ring: the canary first, then each wave up to its part of all. Rounded up, so that small
 * fleets have a canary of one; rings that would be empty are none.
 */
export function ringSizes(
  total: number,
  { canaryPercent, waves }: Pick<RolloutSettings, 'canaryPercent' | 'waves'>,
): number[] {
  const sizes: number[] = [];
  let placed = 0;
  for (const part of [canaryPercent, ...waves]) {
    const size = Math.min(total, Math.ceil((total * part) / 100)) - placed;
    if (size > 0) {
      sizes.push(size);
      placed += size;
    }
  }
  return sizes;
}

/** Rings of those stacks, which are in the order that decides. */
export function ringsOf<S>(stacks: readonly S[], settings: Pick<RolloutSettings, 'canaryPercent' | 'waves'>): S[][] {
  let from = 0;
  return ringSizes(stacks.length, settings).map((size) => {
    from += size;
    return stacks.slice(from - size, from);
  });
}
