import { DeadlineError, waitFor } from '#libs/async';
import { isDomainError } from '#libs/contracts';
import {
  compareServed,
  countServed,
  describeMismatches,
  type Mismatch,
  type RouteFolder,
  type Served,
} from '#libs/edge';
import type { Finding } from '#libs/jobs';
import type { Logger } from '#libs/telemetry';
import { RestartPauses } from './restart-pauses.js';

const READ_MS = 5_000;

const WAITS = {
  /** A file just written is served within 0.35 s at a thousand stacks; a mismatch that lasts this long is one. */
  settleMs: 3_000,
  followMs: 10_000,
  startMs: 30_000,
};

interface ProxyDeps {
  folder: Pick<RouteFolder, 'files' | 'quarantine' | 'touch'>;
  /** What the proxy serves; throws UNAVAILABLE while it does not answer. */
  read: (signal: AbortSignal) => Promise<Served>;
  /** Ends and starts the proxy's process. */
  restart: () => Promise<void>;
  logger: Pick<Logger, 'warn' | 'error' | 'info'>;
  now: () => Date;
  /** Until a difference counts, until the proxy must follow, and until it must stand after a restart. */
  waits?: typeof WAITS;
}

export interface ProxyFigures {
  mismatches: number;
  repairs: { file: number; restart: number };
  /** Stacks' route files at the last look, and how many of them are served; null before the first. */
  routes: { at: Date; rendered: number; served: number | null } | null;
}

/**
 * The proxy must serve what the files say, and says so itself. One that reads its folder no more looks healthy in every
 * other way. What differs is written again; a proxy that does not follow then is restarted, and again only after a
 * pause that doubles, whatever differs by then: what grows or comes back is nothing a restart mends for good. One that
 * falls silent is restarted at once: it serves nobody who could be cut off.
 */
export class ProxyKeeper {
  readonly figures: ProxyFigures = { mismatches: 0, repairs: { file: 0, restart: 0 }, routes: null };
  private readonly pauses: RestartPauses;
  /** Restarted since it last gave an answer. */
  private restartedSilent = false;

  constructor(private readonly deps: ProxyDeps) {
    this.pauses = new RestartPauses(deps.now);
  }

  /** Looks and repairs. What could not be repaired is the answer. */
  async turn(): Promise<Finding[]> {
    const { folder, logger, restart, waits = WAITS } = this.deps;
    let state = await this.settled(waits.settleMs);
    if (state === 'true') {
      return this.good();
    }
    logger.warn({ wrong: words(state) }, 'the proxy does not serve what the route files say');
    if (state !== 'silent') {
      this.restartedSilent = false;
      await folder.quarantine();
      await folder.touch();
      state = await this.settled(waits.followMs);
      if (state === 'true') {
        this.figures.repairs.file += 1;
        logger.info('the route files were written again and the proxy follows');
        return this.good();
      }
    }
    if (this.mayRestart(state)) {
      this.pauses.restarted();
      this.restartedSilent = state === 'silent';
      logger.error({ wrong: words(state) }, 'the proxy does not follow its files and is restarted');
      await restart();
      this.figures.repairs.restart += 1;
      state = await this.settled(waits.startMs);
      if (state === 'true') {
        logger.info('the proxy follows its files again');
        return this.good();
      }
    }
    this.note(state);
    return [finding(state, this.pauses.words())];
  }

  private mayRestart(state: State): boolean {
    return this.pauses.due() || (state === 'silent' && !this.restartedSilent);
  }

  private good(): [] {
    this.note([]);
    this.restartedSilent = false;
    return [];
  }

  private note(state: State): void {
    const { folder, now } = this.deps;
    const mismatches = state === 'silent' ? [] : state;
    const { rendered, served } = countServed(folder.files(), mismatches);
    this.figures.mismatches = mismatches.length;
    this.figures.routes = { at: now(), rendered, served: state === 'silent' ? null : served };
  }

  /**
   * What is wrong all that time, or earlier that nothing is. Where routes are written every second, each look finds
   * one that is too young to be served yet: what counts is what the same file has been missing from look to look.
   */
  private async settled(deadlineMs: number): Promise<'true' | State> {
    let last: State = 'silent';
    let before: ReadonlySet<string> | undefined;
    const look = async (): Promise<{ over: 'true' } | { failed: unknown } | undefined> => {
      try {
        const { state, keys } = await this.compare();
        if (state === 'silent') {
          last = state;
          return undefined;
        }
        const lasting = state.filter((_mismatch, at) => before?.has(keys[at] ?? '') ?? true);
        before = new Set(keys.filter((key) => before?.has(key) ?? true));
        last = lasting;
        return lasting.length === 0 ? { over: 'true' } : undefined;
      } catch (error) {
        // An answer we cannot read is our fault or that of a new version: no reason to cut anybody's connection.
        return { failed: error };
      }
    };
    try {
      const what = 'the proxy serving what the files say';
      const end = await waitFor(look, { what, deadlineMs, intervalMs: 100, maxIntervalMs: 1_000 });
      if ('failed' in end) {
        throw end.failed;
      }
      return end.over;
    } catch (error) {
      if (!(error instanceof DeadlineError)) {
        throw error;
      }
      return last;
    }
  }

  /** The keys tell the same mismatch of the same content from one of a file written since. */
  private async compare(): Promise<{ state: State; keys: readonly string[] }> {
    try {
      const served = await this.deps.read(AbortSignal.timeout(READ_MS));
      const files = this.deps.folder.files();
      const content = new Map(files.map((file) => [file.name, file.content]));
      const state = compareServed(files, served);
      return {
        state,
        keys: state.map(({ kind, part, name, file }) =>
          [kind, part, name, file === null ? '' : (content.get(file) ?? '')].join(' '),
        ),
      };
    } catch (error) {
      if (isDomainError(error, 'UNAVAILABLE')) {
        return { state: 'silent', keys: [] };
      }
      throw error;
    }
  }
}

type State = 'silent' | readonly Mismatch[];

const words = (state: State): string => (state === 'silent' ? 'it does not answer' : describeMismatches(state));

function finding(state: State, restarted: string): Finding {
  return state === 'silent'
    ? {
        key: 'proxy/silent',
        code: 'PROXY_SILENT',
        severity: 'critical',
        message: `The proxy does not answer: no stack can be reached.${restarted} See the log of its container.`,
        params: {},
      }
    : {
        key: 'proxy/routes',
        code: 'PROXY_MISMATCH',
        severity: 'critical',
        message: `The proxy does not serve what the route files say: ${describeMismatches(state)}.${restarted} See the log of its container.`,
        params: { count: state.length, files: [...new Set(state.map(({ file }) => file))].slice(0, 50) },
      };
}
