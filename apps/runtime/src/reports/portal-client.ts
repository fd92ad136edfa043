import { Agent, request } from 'node:https';
import { boundedSignal } from '#libs/async';
import { Names } from './names.js';

export interface PortalAnswer {
  status: number;
  body: string;
}

const DEADLINE_MS = 10_000;
const MAX_ANSWER_BYTES = 256 * 1024;

/** HTTPS to the portal and the gate, trusting the stack's CA bundle where there is one. */
export class PortalClient {
  private readonly names = new Names();
  private readonly agent: Agent;
  private readonly closing = new AbortController();

  constructor(ca: string | null) {
    // Few calls, minutes apart: a kept socket would only go stale.
    this.agent = new Agent({ keepAlive: false, lookup: this.names.lookup, ...(ca === null ? {} : { ca }) });
  }

  post(url: string, body: string, headers: Record<string, string> = {}): Promise<PortalAnswer> {
    return new Promise((resolve, reject) => {
      const call = request(
        url,
        {
          method: 'POST',
          agent: this.agent,
          signal: boundedSignal({ deadlineMs: DEADLINE_MS, signal: this.closing.signal }),
          headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), ...headers },
        },
        (response) => {
          const chunks: Buffer[] = [];
          let size = 0;
          response.on('data', (chunk: Buffer) => {
            size += chunk.length;
            if (size > MAX_ANSWER_BYTES) {
              call.destroy(new Error('the answer is too large'));
              return;
            }
            chunks.push(chunk);
          });
          response.on('end', () =>
            resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') }),
          );
          response.on('error', reject);
        },
      );
      call.on('error', reject);
      call.end(body);
    });
  }

  /** Calls under way fail: whoever made them tries again at the next start. */
  close(): void {
    this.closing.abort();
    this.names.close();
    this.agent.destroy();
  }
}
