import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { z } from 'zod';
import { DomainError, isDomainError, LOG_TAIL_MOST, serviceNameSchema, slugSchema } from '#libs/contracts';
import type { EngineWatch } from '#libs/engine';
import { stackNames } from '#libs/tenants';
import { batched } from './log-relay.js';

const askSchema = z.object({
  slug: slugSchema,
  service: serviceNameSchema,
  tail: z.coerce.number().int().min(0).max(LOG_TAIL_MOST),
  follow: z.enum(['0', '1']),
  after: z.iso.datetime({ precision: undefined }).optional(),
});

/** A log to follow that is refused is refused sooner; one silent for so long is there, and its reader hears so. */
const SILENT_MS = 1_000;

/** `GET /logs?slug&service&tail&follow&after`: batches of a service's log, one JSON object a line. */
export function logAnswer(watch: EngineWatch, platformId: string) {
  return async (query: URLSearchParams, response: ServerResponse): Promise<void> => {
    const asked = askSchema.safeParse(Object.fromEntries(query));
    if (!asked.success) {
      throw new DomainError('VALIDATION_FAILED', {
        details: { problems: asked.error.issues.map(({ message }) => message) },
      });
    }
    const { slug, service, tail, follow, after } = asked.data;
    const left = new AbortController();
    response.once('close', () => left.abort(new Error('the reader left')));
    const lines = watch.log(
      stackNames(platformId, slug).container(service),
      { platform: platformId },
      { tail, follow: follow === '1', ...(after === undefined ? {} : { after }) },
      left.signal,
    );
    const begin = (): void => {
      if (!response.headersSent) {
        response.writeHead(200, { 'content-type': 'application/x-ndjson' }).flushHeaders();
      }
    };
    const silent = follow === '1' ? setTimeout(begin, SILENT_MS) : undefined;
    try {
      for await (const batch of batched(lines)) {
        begin();
        if (!response.write(`${JSON.stringify(batch)}\n`)) {
          await once(response, 'drain', { signal: left.signal });
        }
      }
      response.end();
    } catch (error) {
      if (left.signal.aborted) {
        return;
      }
      if (response.headersSent) {
        // What was sent stands; the reader sees that it broke off and asks again behind it.
        response.destroy(error instanceof Error ? error : undefined);
        return;
      }
      throw error;
    } finally {
      clearTimeout(silent);
    }
  };
}

/** An error of ours as the other end makes it again. */
export function errorAnswer(error: unknown): { status: number; body: string } {
  const known = isDomainError(error) ? error : new DomainError('INTERNAL', { cause: error });
  const { code, message, details } = known;
  return { status: code === 'INTERNAL' ? 500 : 409, body: JSON.stringify({ code, message, details }) };
}
