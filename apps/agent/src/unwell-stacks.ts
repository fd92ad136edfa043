/** Fewer may be a moment's weakness: a database that recovers, a proxy that reads its routes. */
const UNWELL_LOOKS = 3;
/** Part of the time between two looks below which the second is none of its own. */
const CLOSE = 0.8;
/** From this many stacks on, half of them unwell at once is the host's trouble, and restarting all of them is none of its cures. */
const FLEET = 4;

/** Which stacks have all they should have and do not answer, over how many looks, and of how many that run. */
export class UnwellStacks {
  /** How many stacks are to run. */
  running = 0;
  private readonly looks = new Map<string, { count: number; at: number }>();

  /** @param againMs Time between two looks at a stack that is not well. */
  constructor(private readonly againMs: number) {}

  /** Why none is restarted: most do not answer at once. Null while that is not so. */
  get fleet(): { unwell: number; of: number } | null {
    const unwell = this.looks.size;
    return this.running >= FLEET && unwell * 2 > this.running ? { unwell, of: this.running } : null;
  }

  /** Notes a look at which the stack did not answer; true where it lasts. */
  note(tenantId: string): boolean {
    const before = this.looks.get(tenantId);
    // Looks that events brought about follow each other closely: those tell of one moment.
    if (before && performance.now() - before.at < this.againMs * CLOSE) {
      return false;
    }
    const count = (before?.count ?? 0) + 1;
    this.looks.set(tenantId, { count, at: performance.now() });
    return count >= UNWELL_LOOKS;
  }

  delete(tenantId: string): void {
    this.looks.delete(tenantId);
  }

  keys(): Iterable<string> {
    return this.looks.keys();
  }
}
