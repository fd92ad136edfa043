import { DomainError, LOG_TAIL_MOST, uuidSchema } from '#libs/contracts';
import { InvalidArgumentError } from 'commander';

/** For `--limit`: a whole number from 1 on; anything else is a usage error. */
export function rows(text: string): number {
  if (!/^[1-9]\d{0,3}$/.test(text)) {
    throw new InvalidArgumentError('It is a number from 1 on.');
  }
  return Number(text);
}

/** For `--cursor`: what a page before said. */
export function pageCursor(text: string): string {
  const id = uuidSchema.safeParse(text);
  if (!id.success) {
    throw new InvalidArgumentError('It is the id that the page before gave with “more”.');
  }
  return id.data;
}

/** The id of a thing that `aviary <noun> list` shows. A mistyped one is as little there as one that never was. */
export function idOf(noun: 'operation' | 'outbox' | 'backup' | 'rollout', text: string | undefined): string {
  const id = uuidSchema.safeParse(text);
  if (!id.success) {
    throw new DomainError('NOT_FOUND', {
      message: `There is no ${noun === 'outbox' ? 'mail' : noun} ${text ?? ''}: ids are those of aviary ${noun} list.`,
    });
  }
  return id.data;
}

/** For `--timeout`: seconds, also parts of one. */
export function seconds(text: string): number {
  if (!/^\d{1,6}(\.\d+)?$/.test(text)) {
    throw new InvalidArgumentError('It is a number of seconds.');
  }
  return Number(text);
}

/** For `--tail`: lines, as many as one look may take. */
export function logTail(text: string): number {
  const lines = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (lines < 1 || lines > LOG_TAIL_MOST) {
    throw new InvalidArgumentError(`It is a number from 1 to ${LOG_TAIL_MOST}.`);
  }
  return lines;
}
