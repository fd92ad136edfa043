import { mkdirSync, readFileSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
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
const MAX_BYTES = 8 * 1024 * 1024;

const fileSchema = z.object({
  revoked: z.record(uuidSchema, z.number()),
  signedOut: z.record(z.string(), z.number()),
});

export interface RevocationOptions {
  api: ApiDoors;
  stateDirectory: string;
  logger: Logger;
  now: () => number;
}

/**
 * Sessions that are no longer valid although their tokens are. The list comes from the api and is kept on disk, so a
 * restart while the api is away still knows it. Entries are only ever added, and leave when their tokens have expired.
 */
export class Revocations {
  private readonly revoked: Map<string, number>;
  private readonly signedOut: Map<string, number>;
  private readonly path: string;
  private timer: NodeJS.Timeout | undefined;
  private stopped = new AbortController();
  private reachable: boolean | null = null;
  private saving: Promise<void> = Promise.resolve();
  private heardAt: number | null = null;
  private listed: boolean;

  constructor(private readonly options: RevocationOptions) {
    mkdirSync(options.stateDirectory, { recursive: true });
    this.path = join(options.stateDirectory, 'revocations.json');
    const kept = this.load();
    this.listed = kept !== null;
    this.revoked = new Map(Object.entries(kept?.revoked ?? {}));
    this.signedOut = new Map(Object.entries(kept?.signedOut ?? {}));
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
    const turn = async (): Promise<void> => {
      await this.poll();
      if (!this.stopped.signal.aborted) {
        this.timer = setTimeout(() => void turn(), POLL_MS);
      }
    };
    void turn();
  }

  async stop(): Promise<void> {
    this.stopped.abort();
    clearTimeout(this.timer);
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

  private load(): z.infer<typeof fileSchema> | null {
    try {
      return fileSchema.parse(JSON.parse(readFileSync(this.path, 'utf8')));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        this.options.logger.error(
          { err: error },
          'the kept list of revocations does not read; nobody gets in before the api gives one',
        );
      }
      return null;
    }
  }

  /** Flushed before it replaces the old list: a power cut must not bring a session back. One write at a time. */
  private save(): Promise<void> {
    const write = async (): Promise<void> => {
      const temporary = `${this.path}.new`;
      const file = await open(temporary, 'w', 0o600);
      try {
        const content = { revoked: Object.fromEntries(this.revoked), signedOut: Object.fromEntries(this.signedOut) };
        await file.writeFile(JSON.stringify(content));
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, this.path);
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
