/**
 * Which edge bridges this process made sure of. Needed for each stack and changing once in hundreds of them, so it is
 * remembered instead of asked; making an edge that is there changes nothing. Forgotten whenever something fails.
 */
export class EdgeKeeper {
  private readonly edges = new Set<number>();

  known(): ReadonlySet<number> {
    return this.edges;
  }

  made(edge: number): void {
    this.edges.add(edge);
  }

  forget(): void {
    this.edges.clear();
  }
}
