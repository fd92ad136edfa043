import { appendAudit } from '#libs/audit';
import { platformPrefix, type Actor } from '#libs/contracts';
import { tx, type Database } from '#libs/db';
import type { Engine } from '#libs/engine';
import { settleAlarms, type Finding } from '#libs/jobs';
import type { Logger } from '#libs/telemetry';
import { portalContainer, restartPortal } from './portal-container.js';
import { RestartPauses } from './restart-pauses.js';

const WATCH: Actor = { kind: 'system', name: 'portal-watch' };
const ANSWER_MS = 5_000;
/** Fewer may be a moment's weakness of a busy host, or a container that `up` makes anew. */
const MISSES = 3;
/** Beside everything else that a host starts after a power cut, a process needs a while until it answers. */
const STARTS_MS = 3 * 60_000;

/** What is kept from whom while none of a kind answers. */
const KINDS = {
  gate: 'nobody gets into a dashboard, also who is signed on; programs with a token do, and bots trade on',
  api: 'nobody can sign in or order anything; bots trade on, and who is signed on uses their dashboard',
} as const;
type Kind = keyof typeof KINDS;
/** Containers of the portal, by the kind of what runs in them. */
const PARTS = { gate: 'gate', gate2: 'gate', api: 'api', api2: 'api' } as const satisfies Record<string, Kind>;
type Name = keyof typeof PARTS;

interface WatchDeps {
  dataSource: Database;
  engine: Engine;
  platformId: string;
  engineId: string;
  /** Where those of each kind answer, as the proxy reaches them. */
  urls: Readonly<Record<Kind, readonly string[]>>;
  /** Where each api, in the same order, says for as long as it ends what it has begun that it is leaving. */
  leavingUrls?: readonly string[];
  logger: Pick<Logger, 'error' | 'info'>;
  now: () => Date;
  answerMs?: number;
}

interface Part {
  name: Name;
  url: string;
  leavingUrl: string | null;
  /** Looks since it last answered. */
  misses: number;
  pauses: RestartPauses;
  /** Stopped by a restart of ours that did not come to its end. */
  cutShort: boolean;
}

/**
 * Asks the portal's gates and apis again and again whether they answer: the engine calls one that hangs running, and the
 * proxy in front of it lives. One that runs and does not answer is restarted, again only after pauses that double; one
 * that is missing, stopped or paused is left alone, since that may be somebody's will. Both are alarms, and each restart
 * is in the audit. One that takes no requests any more since a deploy replaces it, and ends what it has begun, is neither.
 */
export class PortalWatch {
  private readonly parts: readonly Part[];

  constructor(private readonly deps: WatchDeps) {
    this.parts = (Object.keys(KINDS) as Kind[]).flatMap((kind) => {
      const names = (Object.keys(PARTS) as Name[]).filter((name) => PARTS[name] === kind);
      const leaving = kind === 'api' ? (deps.leavingUrls ?? []) : [];
      return deps.urls[kind].flatMap((url, at) => {
        const name = names[at];
        return name === undefined
          ? []
          : [
              {
                name,
                url,
                leavingUrl: leaving[at] ?? null,
                misses: 0,
                pauses: new RestartPauses(deps.now),
                cutShort: false,
              },
            ];
      });
    });
  }

  /** Whether one did not answer at the last look, so that the next one is due soon. */
  get doubts(): boolean {
    return this.parts.some(({ misses }) => misses > 0);
  }

  /** Throws what kept it from mending; that is an alarm all the same. */
  async turn(): Promise<void> {
    const { dataSource, engineId, logger, now } = this.deps;
    const failures: unknown[] = [];
    const findings: Finding[] = [];
    const unsure: string[] = [];
    const asked = new Map<Part, string | null>();
    for (const part of this.parts) {
      asked.set(part, await this.ask(part));
    }
    for (const [part, why] of asked) {
      const others = this.parts.filter((other) => other !== part && PARTS[other.name] === PARTS[part.name]);
      part.misses = why === null ? 0 : part.misses + 1;
      if (why !== null && part.misses < MISSES) {
        unsure.push(this.keyOf(part));
      } else if (why !== null) {
        const seen = await this.mend(part, why).catch((error: unknown) => {
          failures.push(error);
          return `It could not be seen to: ${error instanceof Error ? error.message : String(error)}`;
        });
        findings.push(this.finding(part, { why, seen, covered: others.some((other) => asked.get(other) === null) }));
      }
    }
    const { raised, ended } = await settleAlarms(dataSource, `portal/${engineId}`, { findings, unsure }, now());
    raised.forEach(({ key, message }) => logger.error({ alarm: key }, message));
    ended.forEach((key) => logger.info({ alarm: key }, 'alarm over'));
    if (failures.length > 0) {
      throw new AggregateError(failures, 'Of the portal something does not answer and could not be restarted', {
        cause: failures[0],
      });
    }
  }

  /** Null where it answers or is leaving, else what came in the place of that. */
  private async ask({ url, leavingUrl }: Part): Promise<string | null> {
    const why = await this.answer(url, () => null);
    const leaves =
      why !== null &&
      leavingUrl !== null &&
      (await this.answer(leavingUrl, (body) => (isLeaving(body) ? null : 'it is not leaving'))) === null;
    return leaves ? null : why;
  }

  /** What `judge` has against the body of its 200, or what came in the place of that. */
  private async answer(url: string, judge: (body: string) => string | null): Promise<string | null> {
    const { answerMs = ANSWER_MS } = this.deps;
    try {
      const answer = await fetch(new URL('/healthz', url), {
        redirect: 'error',
        signal: AbortSignal.timeout(answerMs),
      });
      const body = await answer.text();
      return answer.ok ? judge(body) : `it answered ${answer.status}`;
    } catch (error) {
      const { cause, message } = error instanceof Error ? error : new Error(String(error));
      return cause instanceof Error && cause.message !== '' ? cause.message : message;
    }
  }

  /** Restarts one that hangs where that is due. Gives a sentence of what its container is. */
  private async mend(part: Part, why: string): Promise<string> {
    const { engine, platformId, logger, now } = this.deps;
    const container = await portalContainer(engine, platformId, part.name);
    if (container === null) {
      return 'Its container is not there: scripts/up makes it.';
    }
    const { name, status, startedAt } = container;
    if (status !== 'running' && !part.cutShort) {
      return `Its container is ${status}, which may be somebody’s will, so it is left alone: scripts/up or docker start brings it back.`;
    }
    const starts = startedAt !== null && now().getTime() - Date.parse(startedAt) < STARTS_MS;
    if (part.cutShort || (!starts && part.pauses.due())) {
      await this.note(part, { container: name, why });
      part.pauses.restarted();
      part.cutShort = true;
      logger.error({ container: name }, 'a container of the portal runs and does not answer, it is restarted');
      await restartPortal(engine, platformId, part.name);
      part.cutShort = false;
    }
    return `Its container runs.${part.pauses.words()}`;
  }

  /** Before it is done, as whatever the platform does by itself. */
  private async note({ name }: Part, about: { container: string; why: string }): Promise<void> {
    const { dataSource, platformId, engineId } = this.deps;
    await tx(dataSource, (db) =>
      appendAudit(db, {
        actor: WATCH,
        action: 'portal.restart',
        target: { kind: 'platform', id: platformId },
        after: { engine: engineId, part: name, ...about },
      }),
    );
  }

  private finding(part: Part, { why, seen, covered }: { why: string; seen: string; covered: boolean }): Finding {
    const { engineId, platformId } = this.deps;
    const container = `aviary-${platformPrefix(platformId)}-${part.name}`;
    return {
      key: this.keyOf(part),
      code: 'PORTAL_UNWELL',
      severity: covered ? 'warning' : 'critical',
      message: `The portal’s ${part.name} does not answer (${why}): ${covered ? 'the other one answers for both, and nobody notices until that one fails too' : KINDS[PARTS[part.name]]}. ${seen} See docker logs ${container}`,
      params: { engine: engineId, part: part.name, why },
    };
  }

  private keyOf({ name }: Part): string {
    return `portal/${this.deps.engineId}/${name}`;
  }
}

function isLeaving(body: string): boolean {
  try {
    return (JSON.parse(body) as { status?: unknown } | null)?.status === 'leaving';
  } catch {
    // Not what an api says.
    return false;
  }
}
