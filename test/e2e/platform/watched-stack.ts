import { join } from 'node:path';
import { waitFor } from '#libs/async';
import { docker } from '../../support/engine.js';
import { PlatformWorld, type RunningStack } from './world.js';

export const SERVICES = ['postgres', 'redis', 'runtime'] as const;
export type Service = (typeof SERVICES)[number];

/** A stack of a platform of its own, and what it was like before anything was done to it. */
export class WatchedStack {
  private constructor(
    readonly world: PlatformWorld,
    readonly stack: RunningStack,
    private before = '',
  ) {}

  static async open(): Promise<WatchedStack> {
    const world = await PlatformWorld.open();
    const watched = new WatchedStack(world, await world.runningStack());
    watched.before = await watched.shape();
    return watched;
  }

  container(service: Service): string {
    return this.world.platform.service(this.stack.slug, service);
  }
  get containers(): string[] {
    return SERVICES.map((service) => this.container(service));
  }
  get network(): string {
    return `aviary-${this.world.platform.facts.prefix}-${this.stack.slug}`;
  }
  get route(): string {
    return join(this.world.platform.facts.dataDir, 'routes', `${this.stack.slug}.yml`);
  }

  /** What of the containers must come back, as one text. */
  async shape(): Promise<string> {
    const inspected = JSON.parse(await docker('inspect', ...this.containers)) as {
      Name: string;
      Image: string;
      State: { Status: string };
      HostConfig: { Memory: number; NanoCpus: number; PidsLimit: number; RestartPolicy: { Name: string } };
      NetworkSettings: { Networks: Record<string, { IPAddress: string }> };
    }[];
    return JSON.stringify(
      inspected.map(({ Name, Image, State, HostConfig: limits, NetworkSettings }) => [
        Name,
        Image,
        State.Status,
        limits.Memory,
        limits.NanoCpus,
        limits.PidsLimit,
        limits.RestartPolicy.Name,
        Object.entries(NetworkSettings.Networks)
          .map(([name, { IPAddress }]) => `${name} ${IPAddress}`)
          .toSorted((a, b) => a.localeCompare(b)),
      ]),
    );
  }

  /** What was done to the stack; the night's backup, which goes on beside it, is none of it. */
  operations(where = ''): Promise<string> {
    return this.world.platform.sql(
      `select kind, state, coalesce(error->>'message', '') from operations
        where tenant_id = '${this.stack.id}' and kind not in ('provision', 'backup') ${where} order by created_at`,
    );
  }
  async forgetOperations(): Promise<void> {
    await this.world.platform.sql(
      `delete from operations where tenant_id = '${this.stack.id}' and finished_at is not null`,
    );
  }

  async isAsBefore(): Promise<boolean> {
    return (await this.shape()) === this.before;
  }

  /** The stack is as it was, answers its owner, and nothing is at work on it. */
  async back(deadlineMs = 90_000): Promise<void> {
    await waitFor(
      async () => {
        const seen = await this.shape();
        if (seen !== this.before) {
          throw new Error(`still ${seen}; ${await this.operations()}`);
        }
        const open = await this.operations(`and state in ('queued', 'running')`);
        return open === '' && (await this.world.answers(this.stack)) ? true : undefined;
      },
      { what: `${this.stack.slug} as it was`, deadlineMs },
    );
  }

  async repaired(damage: () => Promise<unknown>): Promise<void> {
    await this.forgetOperations();
    await damage();
    await this.back();
    expect(await this.operations()).toMatch(/^(repair\|done\|\n?)+$/);
  }
}
