import {
  DomainError,
  planRolloutSchema,
  type Accepted,
  type Actor,
  type PlanRollout,
  type RolloutReport,
  type RolloutStack,
  type RolloutView,
  type StartRollout,
} from '#libs/contracts';
import { OperationEntity, ReleaseEntity, TenantEntity } from '#libs/db';
import { MailDelivery, OutboxService } from '#libs/support';
import { createLogger } from '#libs/telemetry';
import type { PhaseName } from '#libs/tenants';
import { workerHandlers } from '../../apps/worker/src/handlers.js';
import { readyBackups } from './ready-backups.js';
import { healthyProbes, stackWorld, type StackWorld } from './stack-world.js';

type RunOptions = NonNullable<Parameters<StackWorld['runner']>[0]>;
type Operator = Actor & { kind: 'operator' };

export type RolloutOrder = { settings?: Partial<PlanRollout['settings']>; selection?: PlanRollout['selection'] };

/** Slugs of each ring, of those that have one. */
export const ringsIn = (report: readonly RolloutStack[]): string[][] => {
  const rings: string[][] = [];
  for (const { ring, slug } of report) {
    if (ring !== null) {
      (rings[ring] ??= []).push(slug);
    }
  }
  return rings;
};

/** Stacks on a first release, a second one to go to, a worker that looks when it is told to, and a clock of its own. */
export class RolloutWorld {
  first!: ReleaseEntity;
  second!: ReleaseEntity;
  operator!: Operator;
  /** Slugs on which the second release does not answer. */
  readonly broken = new Set<string>();
  private constructor(
    readonly world: StackWorld,
    private readonly clock: { skew: number },
  ) {}

  static async open(): Promise<RolloutWorld> {
    const clock = { skew: 0 };
    const world = await stackWorld({ now: () => new Date(Date.now() + clock.skew) });
    const self = new RolloutWorld(world, clock);
    [self.first] = (await self.db.find(ReleaseEntity)) as [ReleaseEntity];
    const image = world.engine.addImage('example.org/runtime:next');
    self.second = Object.assign(new ReleaseEntity(), self.first, {
      id: 'standard@0.2.0+00000002',
      version: '0.2.0',
      images: { ...self.first.images, runtime: image },
      createdAt: new Date(self.first.createdAt.getTime() + 1_000),
      state: 'draft' as const,
    });
    await self.db.insert(ReleaseEntity, self.second as object);
    self.operator = await world.operator();
    return self;
  }

  get db() {
    return this.world.database.dataSource.manager;
  }

  now(): Date {
    return new Date(Date.now() + this.clock.skew);
  }

  /** Lets that much time pass. */
  pass(seconds: number): void {
    this.clock.skew += seconds * 1_000;
  }

  /** The same while the agent goes on looking at every stack, and finds each as it was. */
  async watched(seconds: number): Promise<void> {
    this.pass(seconds);
    await this.db.query('update tenants set checked_at = $1', [this.now()]);
  }

  /** Another stack that runs on the first release. */
  async stack(): Promise<Accepted['stack']> {
    const before = this.second.state;
    await this.offer('draft');
    const accepted = await this.world.stacks.create(await this.world.account(), { template: 'standard' });
    await this.run(accepted.operation.id, accepted.stack.id);
    await this.offer(before);
    return accepted.stack;
  }

  async stacks(count: number): Promise<string[]> {
    const slugs: string[] = [];
    while (slugs.length < count) {
      slugs.push((await this.stack()).slug);
    }
    return slugs;
  }

  async offer(state: ReleaseEntity['state']): Promise<void> {
    this.second.state = state;
    await this.db.update(ReleaseEntity, { id: this.second.id }, { state });
  }

  order({ settings = {}, selection = {} }: RolloutOrder = {}): StartRollout {
    const order = planRolloutSchema.parse({ release: this.second.id, selection, settings });
    return { ...order, confirm: this.second.id };
  }

  start(order: RolloutOrder = {}): Promise<RolloutView> {
    return this.world.rollouts.start(this.operator, this.order(order));
  }

  view(id: string): Promise<RolloutView> {
    return this.world.rollouts.get(this.operator, id);
  }

  async report(id: string): Promise<RolloutStack[]> {
    const items: RolloutStack[] = [];
    let cursor: number | undefined;
    for (;;) {
      const page: RolloutReport = await this.world.rollouts.report(
        this.operator,
        id,
        cursor === undefined ? {} : { cursor },
      );
      items.push(...page.items);
      if (page.next === null) {
        return items;
      }
      cursor = Number(page.next);
    }
  }

  /** A worker as production has it; `queue` may be one that fails. */
  async look(queue: Pick<StackWorld['queue'], 'enqueue'> = this.world.queue): Promise<void> {
    const { dataSource: database } = this.world.database;
    const now = (): Date => this.now();
    const handlers = workerHandlers({
      database,
      delivery: new MailDelivery({ database, sender: null, now }),
      outbox: new OutboxService({ database, queue: this.world.queue, now }),
      queue,
      logger: createLogger('test', 'silent'),
      now,
      portalUrl: 'https://aviary.localhost',
      zone: 'UTC',
      portalBackup: { hour: 4, overdueHours: 28 },
    });
    const handler = handlers.find(({ name }) => name === 'rollouts.advance');
    await handler?.handle({}, { signal: new AbortController().signal, attempt: 1, last: true });
  }

  /** Upgrades and rollbacks that are open. */
  open(): Promise<OperationEntity[]> {
    return this.db
      .createQueryBuilder(OperationEntity, 'operation')
      .where(`operation.state in ('queued', 'running') and operation.kind in ('upgrade', 'rollback')`)
      .orderBy('operation.id')
      .getMany();
  }

  /** As if an agent had worked on that operation up to that phase, and died. */
  async beganTo(operationId: string, phase: PhaseName): Promise<void> {
    await this.db.query(
      `update operations set state = 'running', started_at = $2, fencing = fencing + 1 where id = $1`,
      [operationId, this.now()],
    );
    await this.db.query(
      `update operation_steps set state = 'done', started_at = $3, finished_at = $3
        where operation_id = $1
          and seq < (select seq from operation_steps where operation_id = $1 and phase = $2 and action is null)`,
      [operationId, phase, this.now()],
    );
  }

  /** Works off what is open, as an agent would, and what that leads to. Gives the slugs. */
  async workOff(): Promise<string[]> {
    const slugs: string[] = [];
    for (;;) {
      const [next] = await this.open();
      if (!next) {
        return slugs;
      }
      await this.run(next.id, next.tenantId);
      slugs.push(next.slug);
    }
  }

  /** Looks and works off until there is nothing to do now. Gives who was worked on between each two looks. */
  async settle(): Promise<string[][]> {
    const turns: string[][] = [];
    for (;;) {
      await this.look();
      const slugs = await this.workOff();
      if (slugs.length === 0) {
        return turns;
      }
      turns.push(slugs);
    }
  }

  releaseOf(slug: string): Promise<string> {
    return this.db.findOneByOrFail(TenantEntity, { slug }).then(({ releaseId }) => releaseId);
  }

  async run(operationId: string, tenantId: string): Promise<void> {
    const probes: RunOptions['probes'] = {
      ...healthyProbes,
      ready: (facts) =>
        facts.release === this.second.version && this.broken.has(facts.slug)
          ? Promise.reject(new DomainError('HEALTH_GATE_FAILED', { message: 'The new one does not answer.' }))
          : Promise.resolve(),
    };
    await this.world.runner({ backups: readyBackups, probes }).run(operationId, tenantId, new AbortController().signal);
  }

  close(): Promise<void> {
    return this.world.close();
  }
}
