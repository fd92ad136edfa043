import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { open, readdir, readFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { SESSION_TTL_SECONDS, revocationsSchema, uuidSchema } from '#libs/contracts';
import type { Logger } from '#libs/telemetry';
import type { ApiDoors } from './api-doors.js';

/** Kept as long as a session made a moment before its revocation could still be presented. */
const KEEP_MS = (SESSION_TTL_SECONDS + 60) * 1000;
const POLL_MS = 2000;
/** Together with the pause this stays below the five seconds in which a revocation has to be known here. */
const DEADLINE_MS = 1500;
/** Somebody who signs out at one gate may come to another one with the next request. */
const HEAR_MS = 500;
const MAX_BYTES = 8 * 1024 * 1024;

/** The list of one gate, in the folder of all. */
const fileOf = (name: string): string => `revocations-${name}.json`;
const LIST = /^revocations-[a-z0-9]+\.json$/;
/** Of the only gate that earlier versions had. */
const FORMER_LIST = 'revocations.json';

const fileSchema = z.object({
  revoked: z.record(uuidSchema, z.number()),
  signedOut: z.record(z.string(), z.number()),
});
type Kept = z.infer<typeof fileSchema>;

export interface RevocationOptions {
  api: ApiDoors;
  /** Of all gates of the portal. */
  stateDirectory: string;
  /** Of this gate: no other one writes its list. */
  name: string;
  logger: Logger;
  now: () => number;
}

/**
 * Sessions that are no longer valid although their tokens are. The list comes from the api and is kept on disk, so a
 * restart while the api is away still knows it; what another gate has on its disk, a person's sign-out above all, is in
 * force here too. Entries are only ever added, and leave when their tokens have expired.
 */
export class Revocations {
  private readonly revoked = new Map<string, number>();
  private readonly signedOut = new Map<string, number>();
  private readonly own: string;
  /** What of the others' lists was heard last, by their names. */
  private readonly heard = new Map<string, string>();
  private readonly timers = new Map<number, NodeJS.Timeout>();
  private readonly stopped = new AbortController();
  private reachable: boolean | null = null;
  private hears = true;
  private saving: Promise<void> = Promise.resolve();
  private heardAt: number | null = null;
  private listed = false;

  constructor(private readonly options: RevocationOptions) {
    mkdirSync(options.stateDirectory, { recursive: true });
    this.own = fileOf(options.name);
    this.load();
  }

  /** Whether some list is known: without one nobody is let in, and another gate may have one. */
  get known(): boolean {
    return this.listed;
  }

  /** While no list is known at all, from disk or from the api, nobody is let in: any session might be a revoked one. */
  has(sid: string, tokenHash?: string): boolean {
    return !this.listed || this.revoked.has(sid) || (tokenHash !== undefined && this.signedOut.has(tokenHash));
  }

  /** Seconds since the api last gave the list; null when it never did. */
  ageSeconds(): number | null {
    return this.heardAt === null ? null : Math.round((this.options.now() - this.heardAt) / 1000);
  }

  /** A single sign-on ended by its bearer; the portal's session lives on. */
  async signOut(tokenHash: string): Promise<void> {
    this.signedOut.set(tokenHash, this.options.now());
    await this.save();
  }

  start(): void {
    this.again(POLL_MS, () => this.poll());
    this.again(HEAR_MS, () => this.hear());
  }

  private again(pauseMs: number, work: () => Promise<void>): void {
    const turn = async (): Promise<void> => {
      await work();
      if (!this.stopped.signal.aborted) {
        this.timers.set(
          pauseMs,
          setTimeout(() => void turn(), pauseMs),
        );
      }
    };
    void turn();
  }

  async stop(): Promise<void> {
    this.stopped.abort();
    for (const timer of this.timers.values()) {
      clearTimeout(timer);
    }
    await this.saving;
  }

  async poll(): Promise<void> {
    try {
      const response = await this.options.api.fetch('/internal/revocations', {
        signal: AbortSignal.any([AbortSignal.timeout(DEADLINE_MS), this.stopped.signal]),
        redirect: 'error',
      });
      if (response.status !== 200) {
        await response.body?.cancel();
        throw new Error(`the api answered ${response.status}`);
      }
      const { revoked } = revocationsSchema.parse(JSON.parse(await boundedText(response, MAX_BYTES)));
      this.heardAt = this.options.now();
      if (this.merge(revoked.map(({ sid }) => sid)) || !this.listed) {
        this.listed = true;
        await this.save();
      }
      this.note(true);
    } catch (error) {
      if (!this.stopped.signal.aborted) {
        this.note(false, error);
      }
    }
  }

  /** Reads what the other gates have written since the last time. */
  async hear(): Promise<void> {
    try {
      for (const name of (await readdir(this.options.stateDirectory)).filter((one) => this.isOthers(one))) {
        const path = join(this.options.stateDirectory, name);
        const { ino, size, mtimeMs } = await stat(path);
        const mark = `${ino} ${size} ${mtimeMs}`;
        if (this.heard.get(name) !== mark) {
          this.take(fileSchema.parse(JSON.parse(await readFile(path, 'utf8'))));
          this.heard.set(name, mark);
        }
      }
      this.hears = true;
    } catch (error) {
      if (this.hears) {
        this.options.logger.error({ err: error }, 'what other gates know of ended sessions does not read');
      }
      this.hears = false;
    }
  }

  private isOthers(name: string): boolean {
    return LIST.test(name) && name !== this.own;
  }

  /** In force from now on, with the dates it has. */
  private take({ revoked, signedOut }: Kept): void {
    this.listed = true;
    const oldest = this.options.now() - KEEP_MS;
    for (const [map, entries] of [
      [this.revoked, revoked],
      [this.signedOut, signedOut],
    ] as const) {
      for (const [key, at] of Object.entries(entries)) {
        if (at >= oldest && !map.has(key)) {
          map.set(key, at);
        }
      }
    }
  }

  /** Dated by when we heard of them: the api's clock cannot make an entry leave too soon. */
  private merge(sids: readonly string[]): boolean {
    const now = this.options.now();
    let changed = false;
    for (const map of [this.revoked, this.signedOut]) {
      for (const [key, at] of map) {
        if (now - at > KEEP_MS) {
          changed = map.delete(key) || changed;
        }
      }
    }
    for (const sid of sids) {
      if (!this.revoked.has(sid)) {
        this.revoked.set(sid, now);
        changed = true;
      }
    }
    return changed;
  }

  private note(reachable: boolean, error?: unknown): void {
    if (reachable === this.reachable) {
      return;
    }
    this.reachable = reachable;
    if (reachable) {
      this.options.logger.info('the api gives revocations');
    } else {
      this.options.logger.warn({ err: error }, 'the api gives no revocations; the list known so far stays in force');
    }
  }

  /** Own list, those of the others, and where there is none of our own that of an earlier version. */
  private load(): void {
    const there = readdirSync(this.options.stateDirectory);
    const former = there.includes(this.own) ? [] : [FORMER_LIST];
    for (const name of there.filter((one) => LIST.test(one) || former.includes(one))) {
      try {
        this.take(fileSchema.parse(JSON.parse(readFileSync(join(this.options.stateDirectory, name), 'utf8'))));
      } catch (error) {
        this.options.logger.error(
          { err: error, name },
          'a kept list of revocations does not read; without any nobody gets in before the api gives one',
        );
      }
    }
  }

  /** Flushed before it replaces the old list: a power cut must not bring a session back. One write at a time. */
  private save(): Promise<void> {
    const write = async (): Promise<void> => {
      const path = join(this.options.stateDirectory, this.own);
      const temporary = `${path}.new`;
      const file = await open(temporary, 'w', 0o600);
      try {
        const content = { revoked: Object.fromEntries(this.revoked), signedOut: Object.fromEntries(this.signedOut) };
        await file.writeFile(JSON.stringify(content));
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, path);
    };
    const done = this.saving.then(write, write);
    // Whoever waits for `done` hears of a failure; the chain itself goes on.
    this.saving = done.catch(() => undefined);
    return done;
  }
}

/** The whole body, or an error when it is longer than it has any right to be. */
export async function boundedText(response: Response, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > maxBytes) {
      throw new Error(`the answer is longer than ${maxBytes} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
