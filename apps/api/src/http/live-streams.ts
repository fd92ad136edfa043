import { DomainError } from '#libs/contracts';

/** A browser tab holds one; nobody has ten tabs of this open for long. */
const MAX_PER_ACCOUNT = 20;

/** The open event streams: bounded per account, and ended when the process stops so that it can stop. */
export class LiveStreams {
  private readonly open = new Map<AbortController, string>();

  get size(): number {
    return this.open.size;
  }

  enter(accountId: string): AbortController {
    const mine = [...this.open.values()].filter((owner) => owner === accountId).length;
    if (mine >= MAX_PER_ACCOUNT) {
      throw new DomainError('RATE_LIMITED', {
        message: `At most ${MAX_PER_ACCOUNT} live streams can be open. Close some.`,
      });
    }
    const control = new AbortController();
    this.open.set(control, accountId);
    return control;
  }

  leave(control: AbortController): void {
    this.open.delete(control);
    control.abort();
  }

  endAll(): void {
    for (const control of this.open.keys()) {
      control.abort();
    }
  }
}
