import { InvalidArgumentError } from 'commander';

/** For `--limit`: a whole number from 1 on; anything else is a usage error. */
export function rows(text: string): number {
  if (!/^[1-9]\d{0,3}$/.test(text)) {
    throw new InvalidArgumentError('It is a number from 1 on.');
  }
  return Number(text);
}

/** For `--timeout`: seconds, also parts of one. */
export function seconds(text: string): number {
  if (!/^\d{1,6}(\.\d+)?$/.test(text)) {
    throw new InvalidArgumentError('It is a number of seconds.');
  }
  return Number(text);
}
