import { setTimeout as pause } from 'node:timers/promises';
import {
  DomainError,
  LOG_TAIL_MOST,
  logBatchSchema,
  isDomainError,
  type Actor,
  type LogBatch,
  type StackLog,
  type StackLogLine,
} from '#libs/contracts';
import { ReleaseEntity, type Database, type TenantEntity } from '#libs/db';
import { ownerScope } from '../authorise.js';
import { servicesOf, type Template } from '../domain/template.js';
import { findTenants } from '../stack.repository.js';
import type { AgentPort } from './agent-port.js';

/** Before a log that ended is asked for again: a container that is restarted is away for about that long. */
const AGAIN_MS = 1_000;
const READ_MS = 15_000;

interface Wish {
  /** Of the stack's; without one the service that serves its dashboard. */
  service?: string | undefined;
  /** That many of the last lines. */
  tail: number;
  /** Only lines that contain it, whatever the case. */
  q?: string;
}

/** Logs of stacks' services, for owner and operators, from the agent of the host. Nothing is kept here. */
export class StackLogs {
  constructor(private readonly deps: { database: Database; agent: Pick<AgentPort, 'get'> }) {}

  /** Throws NOT_FOUND for a stack that is not the actor's or a service that has no container; UNAVAILABLE without agent. */
  async read(actor: Actor, slug: string, wish: Wish): Promise<StackLog> {
    const { service, engineId } = await this.serviceOf(actor, slug, wish.service);
    const items: StackLogLine[] = [];
    let searched = 0;
    const tail = wish.q === undefined ? wish.tail : LOG_TAIL_MOST;
    const asked = { ...wish, service, engineId, tail, follow: false };
    for await (const { lines } of this.batches(slug, asked, AbortSignal.timeout(READ_MS))) {
      searched += lines.length;
      items.push(...matching(lines, wish.q));
    }
    return { service, items: items.slice(-wish.tail), searched };
  }

  /**
   * The last lines, then each as it is written, over restarts of the service, until the signal fires. Each batch says
   * how many lines are missing before it. Throws as `read` does, after the first batch only NOT_FOUND: once the stack
   * is gone, or no longer the actor's, nothing more comes.
   */
  async *follow(
    actor: Actor,
    slug: string,
    wish: Wish & { after?: string },
    signal: AbortSignal,
  ): AsyncGenerator<LogBatch> {
    const { service, engineId } = await this.serviceOf(actor, slug, wish.service);
    let { after, tail } = wish;
    let begun = false;
    while (!signal.aborted) {
      try {
        const asked = { ...wish, service, engineId, tail, after, follow: true, first: !begun };
        for await (const batch of this.batches(slug, asked, signal)) {
          begun = true;
          after = batch.lines.at(-1)?.at ?? after;
          yield { ...batch, lines: matching(batch.lines, wish.q) };
        }
      } catch (error) {
        if (signal.aborted) {
          return;
        }
        // Once it has begun, an agent or container that is away for a moment is waited for.
        if (!begun || !isDomainError(error)) {
          throw error;
        }
      }
      tail = LOG_TAIL_MOST;
      await pause(AGAIN_MS, undefined, { signal }).catch(() => undefined);
      if (!signal.aborted && (await this.isGone(actor, slug))) {
        throw new DomainError('NOT_FOUND', { message: `The stack ${slug} is gone, so its log has ended.` });
      }
    }
  }

  /** Nobody knows while the database is away; it is waited for like the agent. */
  private async isGone(actor: Actor, slug: string): Promise<boolean> {
    try {
      await this.seen(actor, slug);
      return false;
    } catch (error) {
      return isDomainError(error, 'NOT_FOUND');
    }
  }

  private async *batches(
    slug: string,
    {
      service,
      engineId,
      tail,
      after,
      follow,
      first = false,
    }: Wish & { service: string; engineId: string; after?: string | undefined; follow: boolean; first?: boolean },
    signal: AbortSignal,
  ): AsyncGenerator<LogBatch> {
    const query = new URLSearchParams({
      slug,
      service,
      tail: String(tail),
      follow: follow ? '1' : '0',
      ...(after === undefined ? {} : { after }),
    });
    const answer = await this.deps.agent.get(`/logs?${query.toString()}`, signal, engineId);
    if (first) {
      // A service that says nothing is followed all the same, and its reader hears so.
      yield { lines: [], dropped: 0, ended: false };
    }
    let rest = '';
    try {
      for await (const chunk of answer.setEncoding('utf8')) {
        const lines = (rest + String(chunk)).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) {
          yield logBatchSchema.parse(JSON.parse(line));
        }
      }
    } catch (cause) {
      signal.throwIfAborted();
      throw new DomainError('UNAVAILABLE', { message: 'The log broke off. Try again.', cause });
    } finally {
      answer.destroy();
    }
  }

  private async serviceOf(actor: Actor, slug: string, wanted: string | undefined) {
    const { releaseId, engineId } = await this.seen(actor, slug);
    if (wanted !== undefined) {
      return { service: wanted, engineId };
    }
    const { definition } = await this.deps.database.manager.findOneByOrFail(ReleaseEntity, { id: releaseId });
    return { service: servicesOf(definition as Template)[0], engineId };
  }

  private async seen(actor: Actor, slug: string): Promise<TenantEntity> {
    const { manager } = this.deps.database;
    const [tenant] = await findTenants(manager, { accountId: ownerScope(actor), slug, limit: 1 });
    if (!tenant) {
      throw new DomainError('NOT_FOUND', { message: `There is no stack ${slug}, or it is not yours.` });
    }
    return tenant;
  }
}

function matching(lines: readonly StackLogLine[], q: string | undefined): StackLogLine[] {
  const wanted = q?.toLowerCase();
  return wanted === undefined ? [...lines] : lines.filter(({ text }) => text.toLowerCase().includes(wanted));
}
