import type { Actor, StackLimits, StackWarning } from '#libs/contracts';
import { OutboxMailEntity } from '#libs/db';
import { mailStackWarning, OutboxService } from '#libs/support';
import type { StackWorld } from './stack-world.js';

const never = new AbortController().signal;

/** A stack that runs on the engine in memory, of an owner of its own. */
export interface RunningStack {
  owner: Actor & { accountId: string; kind: 'subscriber' };
  id: string;
  slug: string;
  limits: StackLimits;
  /** Name of a service's container. */
  container(service: string): string;
  warnings(): Promise<StackWarning[]>;
  /** Texts of the mails about warnings to its owner, oldest first; jobs that wait are done first, as a worker would. */
  warningMails(): Promise<string[]>;
}

export async function runningStack(world: StackWorld): Promise<RunningStack> {
  const owner = await world.account();
  const { stack, operation } = await world.stacks.create(owner, { template: 'standard' });
  await world.runner().run(operation.id, stack.id, never);
  const { id, slug, limits } = stack;
  return {
    owner,
    id,
    slug,
    limits,
    container: (service) =>
      world.engine.names().containers.find((name) => name.includes(slug) && name.endsWith(`-${service}`)) ?? '',
    warnings: async () => (await world.stacks.get(owner, slug)).warnings,
    warningMails: async () => {
      const { dataSource } = world.database;
      const outbox = new OutboxService({ database: dataSource, queue: world.queue, now: () => new Date() });
      const jobs: { data: Parameters<typeof mailStackWarning>[2] }[] = await dataSource.query(
        `with done as (delete from pgboss.job where name = 'mail.stack-warning' and data ->> 'stackId' = $1 returning data)
         select data from done`,
        [id],
      );
      for (const { data } of jobs) {
        await mailStackWarning(dataSource, outbox, data);
      }
      const mails = await dataSource.manager.find(OutboxMailEntity, {
        where: { recipient: `${owner.username}@example.org` },
        order: { createdAt: 'ASC' },
      });
      return mails.map(({ text }) => text);
    },
  };
}
