import type { IncomingMessage } from 'node:http';
import { DomainError } from '#libs/contracts';

/** What was sent, or undefined where it is no JSON, which no schema takes. Throws BODY_TOO_LARGE; `most` is of characters. */
export async function jsonBodyOf(request: IncomingMessage, most: number): Promise<unknown> {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) {
    text += String(chunk);
    if (text.length > most) {
      throw new DomainError('BODY_TOO_LARGE');
    }
  }
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
