import { request, type IncomingMessage, type RequestOptions } from 'node:http';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { DomainError, errorBodyOf } from '#libs/contracts';

/** Longer than a look at the database on a loaded machine; an agent that is silent for so long is away. */
const ANSWER_MS = 5_000;

/**
 * What the api asks the agents: their private ports, unix sockets in a folder only they can open. That of this host's
 * agent has the path given, those of other engines lie beside it as `ENGINE.sock`.
 */
export class AgentPort {
  constructor(
    private readonly socketPath: string,
    private readonly engineId: string,
  ) {}

  /** The agent's metrics as a scraper reads them. Throws UNAVAILABLE while it is away. */
  async metrics(): Promise<string> {
    return text(await this.get('/metrics', AbortSignal.timeout(ANSWER_MS)));
  }

  /** The answer's body as it comes; its reader's pace is the agent's. Aborting ends both. */
  get(path: string, signal: AbortSignal, engineId = this.engineId): Promise<IncomingMessage> {
    return this.ask({ path, signal, socketPath: this.socketOf(engineId) });
  }

  /** The same of a question that is no part of an address. */
  post(path: string, body: object, signal: AbortSignal): Promise<IncomingMessage> {
    return this.ask({ path, signal, method: 'POST' }, JSON.stringify(body));
  }

  private socketOf(engineId: string): string {
    return engineId === this.engineId ? this.socketPath : join(dirname(this.socketPath), `${engineId}.sock`);
  }

  private async ask(options: RequestOptions, body = ''): Promise<IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const asked = request({ socketPath: this.socketPath, ...options }, resolve);
    asked.once('error', reject);
    asked.end(body);
    const answer = await promise.catch((cause: unknown) => {
      throw new DomainError('UNAVAILABLE', {
        message: 'The host’s agent does not answer. It is started again by itself; try again soon.',
        cause,
      });
    });
    if (answer.statusCode !== 200) {
      throw errorBodyOf(await text(answer));
    }
    return answer;
  }
}
