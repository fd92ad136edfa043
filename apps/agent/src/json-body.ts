import type { IncomingMessage } from 'node:http';
import { DomainError } from '#libs/contracts';

/** More than any question of the private port has. */
const LARGEST_BODY = 4_096;

/** What was sent, for a schema to look at; undefined where it is no JSON. Throws BODY_TOO_LARGE. */
export async function bodyOf(request: IncomingMessage): Promise<unknown> {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) {
    text += String(chunk);
    if (text.length > LARGEST_BODY) {
      throw new DomainError('BODY_TOO_LARGE');
    }
  }
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // Which no schema takes.
  }
}
