import type { Engine } from '#libs/engine';

/** A busy engine answers within this; one that hangs never does. */
const ANSWER_MS = 10_000;
/** An engine that is restarted is back after 12 s, with many stacks later: what is over by itself calls nobody. */
const AWAY_MS = 60_000;

interface AnswerDeps {
  engine: Pick<Engine, 'info'>;
  /** Milliseconds that never go back. */
  clock?: () => number;
}

/** Asks the engine again and again whether it is there: where nothing is to be done on it, nothing else would. */
export class EngineAnswer {
  private failing: { since: number; why: string } | null = null;

  constructor(private readonly deps: AnswerDeps) {}

  /** Throws what the engine answered, or that it did not. */
  async turn(signal?: AbortSignal): Promise<void> {
    try {
      await this.deps.engine.info({ deadlineMs: ANSWER_MS, ...(signal ? { signal } : {}) });
      this.failing = null;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.failing = { since: this.failing?.since ?? this.now(), why };
      throw error;
    }
  }

  /** Why it has not answered for so long that somebody must know; null while that is not so. */
  get away(): string | null {
    const { failing } = this;
    return failing !== null && this.now() - failing.since >= AWAY_MS ? failing.why : null;
  }

  private now(): number {
    return this.deps.clock?.() ?? performance.now();
  }
}
