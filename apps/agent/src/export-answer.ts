import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pour } from '#libs/async';
import type { BackupExports } from '#libs/backup';
import { DomainError, sendExportSchema } from '#libs/contracts';
import { EXPORT_TIMES } from '#libs/tenants';
import type { Logger } from '#libs/telemetry';
import { jsonBodyOf } from './json-body.js';

/** A download's id and a passphrase. */
const LARGEST_BODY = 4_096;

export interface AnswerTimes {
  /** Of a whole download. */
  deadlineMs: number;
  /** Of a reader that takes nothing, or next to nothing. */
  stalledMs: number;
}
/** Both later than those of who asked, which knows why it ends and says so; these are for one that hangs itself. */
const LATER = 1.2;
const TIMES: AnswerTimes = {
  deadlineMs: EXPORT_TIMES.deadlineMs * LATER,
  stalledMs: EXPORT_TIMES.stalledMs * LATER,
};

export type ExportAnswer = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/**
 * `POST /export` with a download that was begun and a passphrase: the archive, at its reader's pace. Where something
 * fails after its first byte the connection is cut, so that nobody takes what came for all of it.
 */
export function exportAnswer(
  exports: () => Pick<BackupExports, 'start'>,
  logger: Logger,
  times: AnswerTimes = TIMES,
): ExportAnswer {
  return async (request, response) => {
    const { export: id, passphrase } = await askedFor(request);
    const left = new AbortController();
    response.once('close', () => left.abort(new Error('the reader left')));
    const signal = AbortSignal.any([left.signal, AbortSignal.timeout(times.deadlineMs)]);
    try {
      const { stream, bytes } = await exports().start(id, passphrase, signal);
      response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': bytes });
      await pour(stream, response, { stalledMs: times.stalledMs, signal });
      response.end();
      await once(response, 'finish', { signal });
    } catch (error) {
      if (!response.headersSent) {
        throw error;
      }
      logger.warn({ err: signal.aborted ? signal.reason : error, export: id }, 'the download of a backup broke off');
      response.destroy();
    } finally {
      // What is still read for nobody ends with it.
      left.abort(new Error('the download is over'));
    }
  };
}

async function askedFor(request: IncomingMessage) {
  const body = sendExportSchema.safeParse(await jsonBodyOf(request, LARGEST_BODY));
  if (!body.success) {
    // Without what was sent: the passphrase is in it.
    throw new DomainError('VALIDATION_FAILED', { message: 'It takes a download and a passphrase.' });
  }
  return body.data;
}
