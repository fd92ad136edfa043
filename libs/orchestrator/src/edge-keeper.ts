import { LABEL, type Engine } from '#libs/engine';
import { edgeNames } from '#libs/tenants';

const OBSERVE_MS = 20_000;
/** There are at most this many edges in a pool; used to turn names back into numbers. */
const MOST_EDGES = 16;

/**
 * Which edge bridges exist on the engine. Asked once and remembered, since it is needed for each stack and changes
 * once in hundreds of them; forgotten whenever something fails.
 */
export class EdgeKeeper {
  private edges: Set<number> | null = null;

  constructor(private readonly platformId: string) {}

  async known(engine: Engine, signal: AbortSignal): Promise<ReadonlySet<number>> {
    if (this.edges === null) {
      const { networks } = await engine.observe({ platform: this.platformId }, { deadlineMs: OBSERVE_MS, signal });
      const names = new Set(networks.filter(({ labels }) => labels[LABEL.role] === 'edge').map(({ name }) => name));
      this.edges = new Set(
        Array.from({ length: MOST_EDGES }, (_, edge) => edge).filter((edge) =>
          names.has(edgeNames(this.platformId, edge).network),
        ),
      );
    }
    return this.edges;
  }

  made(edge: number): void {
    this.edges?.add(edge);
  }

  forget(): void {
    this.edges = null;
  }
}
