import { request, type IncomingMessage, type ServerResponse } from 'node:http';

/** Passes a request on as a proxy does, with these headers over the client's own. */
export function forward(
  target: URL,
  incoming: IncomingMessage,
  answer: ServerResponse,
  headers: Readonly<Record<string, string>> = {},
): void {
  const forwarded = request(
    {
      host: target.hostname,
      port: target.port,
      method: incoming.method,
      path: incoming.url,
      headers: { ...incoming.headers, ...headers },
    },
    (from) => {
      answer.writeHead(from.statusCode ?? 502, from.headers);
      from.once('error', () => answer.destroy()); // What was cut off is cut off to the client too.
      from.pipe(answer);
    },
  );
  forwarded.on('error', () => answer.destroy());
  answer.on('close', () => forwarded.destroy());
  incoming.pipe(forwarded);
}
