import { setTimeout as pause } from 'node:timers/promises';
import { backoffMs } from '#libs/async';
import { DomainError } from '#libs/contracts';
import { provesOwner } from '../ownership.js';
import type { EngineEvent, EventKind, ObjectEvent, Owner } from '../port.js';
import { signalled, type DockerClient } from './client.js';

const OPEN_MS = 10_000;
const QUIET_MS = 60_000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 10_000;
/** No event is near this; a stream that sends so much without an end of line is not the engine's. */
const LONGEST_LINE = 1024 * 1024;

/**
 * The engine's words for what we call one kind each. `kill` and `stop` say what was asked for, not what came of it.
 * A label filter is not among what is asked for: the engine knows no labels of networks and volumes in its events and
 * would leave them all out.
 */
const KINDS: Readonly<Record<string, EventKind>> = {
  'container start': 'container started',
  'container restart': 'container started',
  'container unpause': 'container started',
  'container die': 'container died',
  'container oom': 'container out of memory',
  'container pause': 'container changed',
  'container update': 'container changed',
  'container rename': 'container changed',
  'container destroy': 'container removed',
  'network connect': 'network connected',
  'network disconnect': 'network disconnected',
  'network destroy': 'network removed',
  'volume destroy': 'volume removed',
};

interface FollowOptions {
  signal: AbortSignal;
  quietMs?: number;
}

class Quiet extends Error {}

/** The port's `events`: one connection after another, each told from where the one before ended. */
export async function* followEvents(
  client: DockerClient,
  owner: Owner,
  { signal, quietMs = QUIET_MS }: FollowOptions,
): AsyncGenerator<EngineEvent> {
  /** Nanoseconds of the engine's clock from which on nothing was told yet; null while that is not known. */
  let since: bigint | null = null;
  let missed = true;
  let failures = 0;
  while (!signal.aborted) {
    const turn = new AbortController();
    const both = AbortSignal.any([signal, turn.signal]);
    const quiet = setTimeout(() => turn.abort(new Quiet('nothing was told')), quietMs);
    try {
      since ??= await engineClock(client, both);
      const stream = await open(client, since, both);
      failures = 0;
      if (missed) {
        missed = false;
        yield { kind: 'resync' };
      }
      for await (const line of linesOf(stream)) {
        quiet.refresh();
        const event = read(line);
        if (event === null) {
          // Whatever it told, it is not known now.
          yield { kind: 'resync' };
          continue;
        }
        since = event.at + 1n;
        const told = inOurWords(event, owner);
        if (told) {
          yield told;
        }
      }
      throw new Error('the engine ended the stream');
    } catch (error) {
      if (signal.aborted) {
        return;
      }
      // A stream where nothing happened goes on where it was: the engine keeps its last events for that.
      if (!(turn.signal.aborted && turn.signal.reason instanceof Quiet && failures === 0 && since !== null)) {
        since = null;
        if (!missed) {
          missed = true;
          yield { kind: 'lost', reason: error instanceof Error ? error.message : String(error) };
        }
        await pause(backoffMs(failures, FIRST_PAUSE_MS, LONGEST_PAUSE_MS, 1), undefined, { signal }).catch(() => {
          // Only the caller's signal ends it sooner, and the loop's condition sees that.
        });
        failures = Math.min(failures + 1, 10);
      }
    } finally {
      clearTimeout(quiet);
      turn.abort();
    }
  }
}

/** Asked before the stream is opened: an engine says "200" a moment before it begins to collect. */
async function engineClock(client: DockerClient, signal: AbortSignal): Promise<bigint> {
  const { SystemTime } = await client.call(
    'time of the engine',
    { deadlineMs: OPEN_MS, signal },
    (docker) => docker.info() as Promise<{ SystemTime?: string }>,
  );
  const at = Date.parse(SystemTime ?? '');
  return BigInt(Number.isNaN(at) ? Date.now() : at) * 1_000_000n;
}

function open(client: DockerClient, since: bigint, signal: AbortSignal): Promise<NodeJS.ReadableStream> {
  const filters = {
    type: ['container', 'network', 'volume'],
    event: [...new Set(Object.keys(KINDS).map((kind) => kind.split(' ')[1] ?? ''))],
  };
  return client.call('follow events', { deadlineMs: OPEN_MS, signal }, (docker) =>
    // Under the caller's signal, not the call's: that one ends with the deadline of the opening.
    docker.getEvents(
      signalled(signal, {
        // Its types know whole seconds only.
        since: `${since / 1_000_000_000n}.${(since % 1_000_000_000n).toString().padStart(9, '0')}` as unknown as number,
        filters: JSON.stringify(filters),
      }),
    ),
  );
}

async function* linesOf(stream: NodeJS.ReadableStream): AsyncGenerator<string> {
  let rest = '';
  stream.setEncoding('utf8');
  for await (const chunk of stream) {
    const parts = (rest + String(chunk)).split('\n');
    rest = parts.pop() ?? '';
    if (rest.length > LONGEST_LINE) {
      throw new Error('the engine sends no lines');
    }
    yield* parts.filter((line) => line.trim() !== '');
  }
}

interface RawEvent {
  what: string;
  id: string;
  attributes: Readonly<Record<string, string>>;
  at: bigint;
}

/** Null for a line that is no event; throws for one that says an error, since the engine has said 200 by then. */
function read(line: string): RawEvent | null {
  let document: unknown;
  try {
    document = JSON.parse(line);
  } catch {
    return null;
  }
  const { Type, Action, Actor, ...rest } = (document ?? {}) as {
    Type?: unknown;
    Action?: unknown;
    Actor?: { ID?: unknown; Attributes?: Record<string, string> };
    error?: unknown;
    errorDetail?: { message?: unknown };
    message?: unknown;
  };
  if (typeof Type !== 'string' || typeof Action !== 'string') {
    const reason = rest.errorDetail?.message ?? rest.error ?? rest.message;
    if (typeof reason === 'string') {
      throw new DomainError('ENGINE_REFUSED', {
        message: `The engine refused to tell events: ${reason}`,
        details: { what: 'follow events', reason },
      });
    }
    return null;
  }
  // Beyond what a number of JSON can hold exactly.
  const nanoseconds = /"timeNano":\s*(\d+)/.exec(line)?.[1];
  return {
    // `exec_die: …` and `health_status: healthy` carry more behind the word; none of those is asked for.
    what: `${Type} ${Action}`,
    id: typeof Actor?.ID === 'string' ? Actor.ID : '',
    attributes: Actor?.Attributes ?? {},
    at: nanoseconds === undefined ? BigInt(Date.now()) * 1_000_000n : BigInt(nanoseconds),
  };
}

function inOurWords({ what, id, attributes, at: nanoseconds }: RawEvent, owner: Owner): ObjectEvent | null {
  const at = new Date(Number(nanoseconds / 1_000_000n));
  const kind = KINDS[what];
  if (kind === undefined) {
    return null;
  }
  if (!kind.startsWith('container')) {
    const containerId = attributes['container'] ?? null;
    return { kind, at, name: attributes['name'] ?? id, containerId, labels: null, exitCode: null };
  }
  // The container's labels stand beside the engine's own words of the event.
  if (!provesOwner(attributes, owner)) {
    return null;
  }
  const exitCode = kind === 'container died' ? Number(attributes['exitCode'] ?? Number.NaN) : Number.NaN;
  return {
    kind,
    at,
    name: attributes['name'] ?? id,
    containerId: id,
    labels: attributes,
    exitCode: Number.isNaN(exitCode) ? null : exitCode,
  };
}
