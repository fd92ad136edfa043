/** When in the course of a call: of a restic, also while it works. */
export type Moment = 'before' | 'during' | 'after';

/** Where an agent dies. */
export interface Point {
  /** Name of the call; those that go side by side come in any order, so none is known by its number among all. */
  step: string;
  /** Which of that name in the operation, from 1. */
  nth: number;
  moment: Moment;
}

/** A call that passed. */
export interface Step {
  /** Such as `restic backup` or `removeVolume aviary-…-SLUG-scratch-N`. */
  name: string;
  /** When it came, in milliseconds since 1970. */
  at: number;
}

const never = new Promise<never>(() => undefined);

/** A call on its way through the door. */
export interface Passage {
  /** Whether it is to be met while it works. */
  wantsDuring: boolean;
  during(): Promise<void>;
  ended(): Promise<void>;
}

/**
 * Every call of an agent that concerns the stack passes here: those of the engine, of its streams and of restic. At one
 * point nothing goes on any more, so that the agent can be killed exactly there: neither that call nor any later one
 * moves until the next agent.
 */
export class Door {
  /** What passed since it was armed, in order. */
  steps: Step[] = [];
  private point: Point | null = null;
  private sprung = Promise.withResolvers<void>();
  private shut = false;
  /** What began before the door was armed anew is nobody's any more. */
  private turn = 0;

  /** Counts from now on; resolves once nothing goes on any more. */
  arm(point: Point): Promise<void> {
    this.disarm();
    this.point = point;
    return this.sprung.promise;
  }

  /** Counts from now on, and lets everything through; what was held stays so for ever. */
  disarm(): void {
    this.steps = [];
    this.point = null;
    this.shut = false;
    this.turn += 1;
    this.sprung = Promise.withResolvers();
  }

  async begins(name: string): Promise<Passage> {
    if (this.shut) {
      return never;
    }
    this.steps.push({ name, at: Date.now() });
    const { turn } = this;
    const nth = this.steps.filter((step) => step.name === name).length;
    const isHere = (moment: Moment): boolean =>
      this.point?.step === name && this.point.nth === nth && this.point.moment === moment;
    const pass = (moment: Moment): Promise<void> =>
      this.turn === turn ? this.pass(isHere(moment)) : Promise.resolve();
    await pass('before');
    return {
      wantsDuring: isHere('during'),
      during: () => pass('during'),
      ended: async () => {
        // One may be too quick to be met while it works.
        await pass('during');
        await pass('after');
      },
    };
  }

  private pass(isHere: boolean): Promise<void> {
    if (this.shut) {
      return never;
    }
    if (!isHere) {
      return Promise.resolve();
    }
    this.shut = true;
    this.sprung.resolve();
    return never;
  }
}
