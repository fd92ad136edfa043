import { StackWarningEntity, type Database } from '#libs/db';
import { LABEL, type Engine, type EngineEvent, type EngineWatch } from '#libs/engine';
import type { Queue } from '#libs/jobs';
import { wantStack, type StackFacts } from '#libs/orchestrator';
import type { Logger } from '#libs/telemetry';
import { END_SHOWN_MS, endWarning, pastOperations, raiseWarning } from '#libs/tenants';

interface KeeperDeps {
  dataSource: Database;
  queue: Pick<Queue, 'enqueue'>;
  portalUrl: string;
  engine: Pick<Engine, 'logTail'>;
  /** Knows when each line was written; where there is none, the last lines there are must do. */
  watch: EngineWatch | undefined;
  settings: { platformId: string };
  logger: Logger;
  now: () => Date;
}

interface End {
  at: Date;
  service: string;
  exitCode: number | null;
  outOfMemory: boolean;
}

const TAIL_LINES = 8;
/** Read to find those of before the end: a service that starts again soon writes more than a few. */
const READ_LINES = 200;
const LOG_MS = 10_000;
/** The kernel tells of the memory first, the engine of the end it came to a moment later. */
const SAME_END_MS = 10_000;
/** Or the other way round, when both come at once. */
const MEMORY_LATE_MS = 1_000;
/** Kept for each stack until somebody looks; a crash loop has its own breaker. */
const MOST_ENDS = 50;

/** Keeps why a service ended that nobody asked to end, also where the engine started it again at once. */
export class EndKeeper {
  private readonly ends = new Map<string, End[]>();
  /** Written already; more of what is told of them may come a moment later. */
  private readonly told = new Map<string, End[]>();

  constructor(private readonly deps: KeeperDeps) {}

  hear(tenantId: string, { kind, at, name, labels, exitCode }: Extract<EngineEvent, { name: string }>): void {
    if (kind !== 'container died' && kind !== 'container out of memory') {
      return;
    }
    const service = labels?.[LABEL.service] ?? name;
    const outOfMemory = kind === 'container out of memory';
    const known = this.ends.get(tenantId) ?? [];
    const told = (this.told.get(tenantId) ?? []).filter((end) => at.getTime() - end.at.getTime() < SAME_END_MS);
    const last = [...told, ...known].findLast((end) => end.service === service);
    const ago = last ? at.getTime() - last.at.getTime() : Number.POSITIVE_INFINITY;
    // Several events of one end: of the memory, without an exit code, as many as the kernel needs to end everything,
    // and of the end, which knows of no memory, before or after those.
    const same = ago < (outOfMemory && last?.exitCode !== null ? MEMORY_LATE_MS : SAME_END_MS);
    if (last && same && (outOfMemory || last.exitCode === null) && (last.outOfMemory || known.includes(last))) {
      last.at = at;
      last.outOfMemory ||= outOfMemory;
      last.exitCode ??= exitCode;
      return;
    }
    const end: End = { at, service, exitCode: outOfMemory ? null : exitCode, outOfMemory };
    this.ends.set(tenantId, [...known, end].slice(-MOST_ENDS));
  }

  /** Stacks of which something ended that is not written yet. */
  keys(): Iterable<string> {
    return this.ends.keys();
  }

  delete(tenantId: string): void {
    this.ends.delete(tenantId);
    this.told.delete(tenantId);
  }

  /** Writes what was heard since the stack's last operation, of which nothing is told here: it stops things itself. */
  async note(facts: StackFacts, signal: AbortSignal): Promise<void> {
    const { dataSource, logger, now } = this.deps;
    const { tenantId, slug } = facts;
    const heard = this.ends.get(tenantId);
    if (heard === undefined) {
      return;
    }
    const [operation] = await pastOperations(dataSource.manager, tenantId);
    const since = operation?.finishedAt ?? null;
    const ends = wantStack(facts).run ? heard.filter(({ at }) => since === null || at > since) : [];
    // There is one place for them; too little memory needs a decision, what was started again needs nobody.
    const last = ends.findLast(({ outOfMemory }) => outOfMemory) ?? ends.at(-1);
    if (last) {
      const { service, outOfMemory } = last;
      const code = outOfMemory ? 'SERVICE_OUT_OF_MEMORY' : 'SERVICE_ENDED';
      const own = ends.filter((end) => end.service === service);
      const before = await dataSource.manager.findOneBy(StackWarningEntity, { tenantId, kind: 'ended' });
      const goesOn = before?.code === code && before.params['service'] === service;
      const times = own.length + (goesOn ? Number(before.params['times']) : 0);
      const warning = endWarning({ ...last, times, log: await this.lastWords(facts, last, signal) });
      const undecided =
        before?.code === 'SERVICE_OUT_OF_MEMORY' && now().getTime() - before.seenAt.getTime() < END_SHOWN_MS;
      if (outOfMemory || !undecided) {
        await raiseWarning(this.deps, { tenantId, kind: 'ended', tell: outOfMemory }, warning, now());
      }
      logger.warn({ stack: slug, ...warning.params }, 'a service ended by itself');
    }
    this.told.set(tenantId, heard);
    // What ended while these were written is told at the next look.
    const left = (this.ends.get(tenantId) ?? []).filter((end) => !heard.includes(end));
    if (left.length === 0) {
      this.ends.delete(tenantId);
    } else {
      this.ends.set(tenantId, left);
    }
  }

  private async lastWords(facts: StackFacts, { service, at }: End, signal: AbortSignal): Promise<string[]> {
    const { engine, watch, settings } = this.deps;
    const name = wantStack(facts).containers.find((wanted) => wanted.service === service)?.spec.name;
    if (name === undefined) {
      return [];
    }
    try {
      if (watch === undefined) {
        return await engine.logTail(name, TAIL_LINES, { deadlineMs: LOG_MS, signal });
      }
      const bounded = AbortSignal.any([signal, AbortSignal.timeout(LOG_MS)]);
      const lines: string[] = [];
      for await (const line of watch.log(
        name,
        { platform: settings.platformId },
        { tail: READ_LINES, follow: false },
        bounded,
      )) {
        if (Date.parse(line.at) <= at.getTime()) {
          lines.push(line.text);
        }
      }
      return lines.slice(-TAIL_LINES);
    } catch (error) {
      signal.throwIfAborted();
      return [`(no log: ${error instanceof Error ? error.message : String(error)})`];
    }
  }
}
