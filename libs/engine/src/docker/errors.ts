import { DeadlineError } from '#libs/async';
import { DomainError } from '#libs/contracts';
import { imageMissing } from '../image-missing.js';

/** What docker-modem rejects with: an answer of the engine, or an error of the socket. */
interface EngineAnswer {
  statusCode: number;
  json?: unknown;
}

const UNREACHABLE = new Set([
  'ECONNREFUSED',
  'ENOENT',
  'ECONNRESET',
  'EPIPE',
  'EACCES',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
]);

/** Texts of Engine 20.10 to 26 for "no room": they carry no code of their own and arrive as 403, 404 or 500. */
const NO_ROOM = [
  /address already in use/i,
  /pool overlaps/i,
  /non-overlapping IPv4 address pool/i,
  /no available (IPv4 )?addresses/i,
  /cannot allocate memory/i,
  /no space left on device/i,
];

/**
 * Engine 20.10 of a container whose process it began and was killed before it noted so. No new container may take its
 * place: two would work on the same volumes, at the same address, by the same key.
 */
const UNKNOWN_PROCESS = /\bid already in use\b/i;

export function statusOf(error: unknown): number | undefined {
  return isAnswer(error) ? error.statusCode : undefined;
}

export function reasonOf(error: unknown): string {
  if (isAnswer(error)) {
    const body = error.json as { message?: unknown } | null | undefined;
    if (typeof body?.message === 'string') {
      return body.message;
    }
  }
  const message = (error as { message?: unknown } | null | undefined)?.message;
  return typeof message === 'string' ? message.trim() : String(error);
}

function isAnswer(error: unknown): error is EngineAnswer {
  return typeof (error as EngineAnswer | null)?.statusCode === 'number';
}

/** The one place where an error of the engine becomes ours. */
export function toDomainError(what: string, error: unknown): DomainError {
  if (error instanceof DomainError) {
    return error;
  }
  const reason = reasonOf(error);
  if (!isAnswer(error)) {
    if (error instanceof DeadlineError) {
      return new DomainError('ENGINE_UNREACHABLE', { details: { what, reason }, cause: error });
    }
    const code = (error as { code?: unknown } | null)?.code;
    if ((typeof code === 'string' && UNREACHABLE.has(code)) || reason === 'socket hang up') {
      return new DomainError('ENGINE_UNREACHABLE', { details: { what, reason }, cause: error });
    }
    return new DomainError('INTERNAL', {
      message: `engine: ${what} failed: ${reason}`,
      details: { what },
      cause: error,
    });
  }
  const details = { what, status: error.statusCode, reason };
  if (error.statusCode === 404 && /no such image/i.test(reason)) {
    return new DomainError('IMAGE_MISSING', {
      message: imageMissing(reason),
      details,
      cause: error,
    });
  }
  if (NO_ROOM.some((text) => text.test(reason))) {
    return new DomainError('NO_CAPACITY', { message: `The engine has no room: ${reason}`, details, cause: error });
  }
  if (UNKNOWN_PROCESS.test(reason)) {
    return new DomainError('ENGINE_REFUSED', {
      message: `The engine refused ${what}: a process of it outlived the engine that began it, and this one does not know it. Restart the engine on its host (systemctl restart docker); what up installed there ends such processes first.`,
      details,
      cause: error,
    });
  }
  if (error.statusCode === 409) {
    return new DomainError('ENGINE_CONFLICT', {
      message: `The engine refused ${what}: ${reason}`,
      details,
      cause: error,
    });
  }
  return new DomainError('ENGINE_REFUSED', { message: `The engine refused ${what}: ${reason}`, details, cause: error });
}
