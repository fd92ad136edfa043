import { request } from 'node:http';
import { complaints, UNWELL } from './health-answer.js';

const ANSWER_MS = 4_000;

/**
 * Asks the process of this container for GET /healthz: on a unix socket where the argument is a path, else on a port of
 * loopback. For the container's health check, `up` and `doctor`; the image has no other HTTP client.
 */
async function ask(where: string): Promise<{ status: number; body: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: string }>();
  const address = where.startsWith('/') ? { socketPath: where } : { host: '127.0.0.1', port: Number(where) };
  const asked = request({ ...address, path: '/healthz', timeout: ANSWER_MS }, (response) => {
    let body = '';
    response.setEncoding('utf8').on('data', (text: string) => (body += text));
    response.once('end', () => resolve({ status: response.statusCode ?? 0, body }));
    response.once('error', reject);
  });
  asked.once('timeout', () => asked.destroy(new Error('no answer')));
  asked.once('error', reject);
  asked.end();
  return promise;
}

try {
  const { status, body } = await ask(process.argv[2] ?? '');
  if (status !== 200) {
    process.stderr.write(`${complaints(body).join('\n')}\n`);
    process.exitCode = UNWELL;
  }
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
