import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { waitFor } from '#libs/async';
import type { Accepted, OperationView, StackView } from '#libs/contracts';
import { randomOf } from '#libs/trading';
import type { Books } from '../data-plane.js';
import type { PortalClient } from '../portal-client.js';

type Act = 'create' | 'stop' | 'start' | 'restart' | 'destroy';

export interface Customer {
  number: number;
  client: PortalClient;
  name: string;
  password: string;
  /** What they have, and what the last accepted request wants of it. */
  stack: { slug: string; id: string; wanted: 'running' | 'stopped' } | null;
  /** Stacks whose destruction was accepted. */
  gone: string[];
  /** They ask for nothing after the first stack: what breaks there, no request of theirs mends by the way. */
  content: boolean;
  /** A bot of theirs trades: they stop and start the stack and keep it. */
  trades: { bot: string; before: Books } | null;
  /** False once a request was left without an answer: whether it was accepted is not known. */
  sure: boolean;
}

export interface Asked {
  accepted: number;
  /** Requests repeated because nobody answered or the portal could not; those that were refused for good, by code. */
  repeated: number;
  refused: Map<string, number>;
  /** Ends of the accepted operations that were waited for, by kind and state. */
  ended: Map<string, number>;
}

const THINK_SECONDS = { least: 3, most: 12 };
const REPEAT_MS = 1_000;
const OPERATION_MS = 300_000;
/** Of operations, so many are waited for; the next request meets the others at work. */
const PATIENT = 0.75;

const count = (of: Map<string, number>, what: string): unknown => of.set(what, (of.get(what) ?? 0) + 1);

/** Wants this and that, as the seed says, until the signal. What is refused or fails is their trouble: they ask again later. */
export async function live(customer: Customer, seed: number, asked: Asked, until: AbortSignal): Promise<void> {
  for (let turn = 0; ; turn += 1) {
    const roll = (what: string): number => randomOf(seed, `customer ${customer.number} ${what} ${turn}`);
    const { least, most } = THINK_SECONDS;
    await pause((least + roll('think') * (most - least)) * 1_000, undefined, { signal: until }).catch(
      ignoreAbort(until),
    );
    if (until.aborted) {
      return;
    }
    const accepted = await request(customer, nextAct(customer, roll('act')), asked, until);
    if (accepted && roll('patience') < PATIENT) {
      const end = await endOf(customer.client, accepted.operation.id, until);
      if (end) {
        count(asked.ended, `${end.kind} ${end.state}${end.error ? ` ${end.error.code}` : ''}`);
      }
    }
  }
}

function nextAct({ stack, trades }: Customer, roll: number): Act {
  if (stack === null) {
    return 'create';
  }
  if (stack.wanted === 'stopped') {
    return roll < 0.2 && trades === null ? 'destroy' : 'start';
  }
  return roll < 0.3 && trades === null ? 'destroy' : roll < 0.5 ? 'restart' : 'stop';
}

/** Asks until somebody answers, each time with the same key, as a patient page does. Null where it was refused. */
async function request(customer: Customer, act: Act, asked: Asked, until: AbortSignal): Promise<Accepted | null> {
  const { client, stack } = customer;
  const key = { 'idempotency-key': randomUUID() };
  for (;;) {
    try {
      const accepted =
        stack === null
          ? await client.api<Accepted>('POST', '/stacks', {}, key)
          : act === 'destroy'
            ? await client.api<Accepted>('DELETE', `/stacks/${stack.slug}`, { confirm: stack.slug })
            : await client.api<Accepted>('POST', `/stacks/${stack.slug}/${act}`, undefined, key);
      asked.accepted += 1;
      remember(customer, act, accepted.stack);
      return accepted;
    } catch (error) {
      const [, status = '', code = 'no code'] =
        /answered (\d{3}): (?:.*?"code":"([A-Z_]+)")?/s.exec(error instanceof Error ? error.message : '') ?? [];
      if (act === 'destroy' && status === '404') {
        // The answer to an earlier one was lost.
        remember(customer, act, null);
        return null;
      }
      if (status === '401') {
        // Its renewal got no answer. Whether signing in works is seen by the next try.
        await client.login(customer.name, customer.password).catch(() => undefined);
      } else if (status.startsWith('4') && status !== '429' && code !== 'IDEMPOTENCY_IN_PROGRESS') {
        count(asked.refused, code);
        return null;
      }
      asked.repeated += 1;
      if (until.aborted) {
        customer.sure = false;
        return null;
      }
      await pause(REPEAT_MS);
    }
  }
}

function remember(customer: Customer, act: Act, stack: Pick<StackView, 'slug' | 'id'> | null): void {
  if (act === 'destroy') {
    customer.gone.push(customer.stack?.slug ?? '');
    customer.stack = null;
  } else if (stack) {
    customer.stack = { slug: stack.slug, id: stack.id, wanted: act === 'stop' ? 'stopped' : 'running' };
  }
}

async function endOf(client: PortalClient, id: string, until: AbortSignal): Promise<OperationView | null> {
  return waitFor(
    async () => {
      const seen = await client.api<OperationView>('GET', `/operations/${id}`);
      return ['queued', 'running'].includes(seen.state) ? undefined : seen;
    },
    { what: `the end of operation ${id}`, deadlineMs: OPERATION_MS, maxIntervalMs: 1_000, signal: until },
  ).catch((error: unknown) => {
    if (until.aborted) {
      return null;
    }
    throw error;
  });
}

function ignoreAbort(signal: AbortSignal): (error: unknown) => void {
  return (error) => {
    if (!signal.aborted) {
      throw error;
    }
  };
}
