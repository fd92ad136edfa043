/**
 * Which edge bridges this process made sure of. Needed for each stack and changing once in hundreds of them, so it is
 * remembered instead of asked; making an edge that is there changes nothing. Forgotten whenever something fails, and
 * told anew by every look at the whole engine.
 */
export class EdgeKeeper {
  private edges = new Set<number>();
  private ids: Map<string, string> | undefined;

  known(): ReadonlySet<number> {
    return this.edges;
  }

  /** Id by name of all edge networks there are; undefined where that is not known. */
  knownIds(): ReadonlyMap<string, string> | undefined {
    return this.ids;
  }

  made(edge: number): void {
    this.edges.add(edge);
    // Its id is told by nobody.
    this.ids = undefined;
  }

  /** What a look at the whole engine found: nothing else is there. */
  seen(edges: Iterable<{ edge: number; name: string; id: string }>): void {
    const found = [...edges];
    this.edges = new Set(found.map(({ edge }) => edge));
    this.ids = new Map(found.map(({ name, id }) => [name, id]));
  }

  forget(): void {
    this.edges = new Set();
    this.ids = undefined;
  }
}
