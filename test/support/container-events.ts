import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { waitFor } from '#libs/async';
import { engineEndpoint } from './engine.js';

interface Told {
  Action: 'start' | 'die';
  Actor: { ID: string };
}

/** Starts and ends of containers with those labels, in the order in which the engine told them. */
export class ContainerEvents {
  /** `start` or `die`, and the container's id. */
  readonly seen: [Told['Action'], string][] = [];
  private readonly child: ChildProcess;
  private readonly ended: Promise<unknown>;
  private errors = '';

  /** From this moment on, also while the client still connects. */
  constructor(labels: Readonly<Record<string, string>>) {
    const filters = [
      'type=container',
      'event=start',
      'event=die',
      ...Object.entries(labels).map(([name, value]) => `label=${name}=${value}`),
    ];
    const since = (Date.now() / 1_000).toFixed(3);
    const child = spawn(
      'docker',
      ['-H', engineEndpoint(), 'events', '--since', since, '--format', '{{json .}}'].concat(
        filters.flatMap((filter) => ['--filter', filter]),
      ),
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    createInterface({ input: child.stdout }).on('line', (line) => {
      const { Action, Actor } = JSON.parse(line) as Told;
      this.seen.push([Action, Actor.ID]);
    });
    child.stderr.on('data', (chunk: Buffer) => (this.errors += chunk.toString()));
    this.child = child;
    this.ended = once(child, 'close');
    // Who waits for it tells what it failed of.
    this.ended.catch(() => undefined);
  }

  /** Until the engine has told of the last of what is asked about. */
  async until(action: Told['Action'], container: string): Promise<void> {
    await waitFor(() => (this.seen.some(([what, id]) => what === action && id === container) ? true : undefined), {
      what: `the ${action} of ${container}`,
      deadlineMs: 30_000,
    }).catch((cause: unknown) => {
      throw new Error(`not told: ${action} of ${container}; told: ${JSON.stringify(this.seen)} ${this.errors}`, {
        cause,
      });
    });
  }

  /** How many ran at the same time at most, where that one ran at first. */
  mostAtOnce(first: string): number {
    const running = new Set([first]);
    let most = running.size;
    for (const [action, id] of this.seen) {
      if (action === 'start') {
        running.add(id);
      } else {
        running.delete(id);
      }
      most = Math.max(most, running.size);
    }
    return most;
  }

  async end(): Promise<void> {
    this.child.kill('SIGTERM');
    await this.ended;
  }
}
