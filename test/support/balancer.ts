import { once } from 'node:events';
import { Agent, createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { waitFor } from '#libs/async';

interface Place {
  /** Where requests go. */
  url: string;
  /** Asked whether they may. */
  health: string;
  up: boolean;
  /** One look at a time: an answer that is late is not newer than the next. */
  looking: boolean;
}

/**
 * Balances as the proxy does: one after the other of those that said they take requests when they were last asked, over
 * connections that are kept, and nothing is tried twice.
 */
export class Balancer {
  private readonly agent = new Agent({ keepAlive: true });
  private readonly places: Place[];
  private readonly timer: NodeJS.Timeout;
  private next = 0;

  private constructor(
    private readonly server: Server,
    places: readonly Pick<Place, 'url' | 'health'>[],
    everyMs: number,
  ) {
    this.places = places.map((place) => ({ ...place, up: true, looking: false }));
    this.timer = setInterval(() => this.places.forEach((place) => void this.look(place)), everyMs);
    server.on('request', (incoming, answer) => {
      const up = this.places.filter((place) => place.up);
      const place = up[(this.next += 1) % up.length];
      if (!place) {
        answer.writeHead(503).end();
        return;
      }
      const { method, headers } = incoming;
      const onward = request(new URL(incoming.url ?? '/', place.url), { agent: this.agent, method, headers });
      onward.once('response', (response) => {
        answer.writeHead(response.statusCode ?? 502, response.headers);
        response.pipe(answer);
        response.once('error', () => answer.destroy());
      });
      onward.once('error', () => (answer.headersSent ? answer.destroy() : answer.writeHead(502).end()));
      incoming.pipe(onward);
    });
  }

  static async open(places: readonly Pick<Place, 'url' | 'health'>[], everyMs: number): Promise<Balancer> {
    const server = createServer();
    const balancer = new Balancer(server.listen(0, '127.0.0.1'), places, everyMs);
    await once(server, 'listening');
    // As the proxy does once it hears of a place; who is in front knows from then on that it is asked.
    await Promise.all(balancer.places.map((place) => balancer.look(place)));
    return balancer;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** How many it sends requests to. */
  get up(): number {
    return this.places.filter((place) => place.up).length;
  }

  private async look(place: Place): Promise<void> {
    if (place.looking) {
      return;
    }
    place.looking = true;
    place.up = await fetch(place.health, { signal: AbortSignal.timeout(5_000) })
      .then(async (answer) => {
        await answer.arrayBuffer();
        return answer.ok;
      })
      .catch(() => false);
    place.looking = false;
  }

  async close(): Promise<void> {
    clearInterval(this.timer);
    this.agent.destroy();
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }
}

/** Requests for one path one after the other in several lines, until it is ended. */
export class BalancedLoad {
  answered = 0;
  readonly failed: string[] = [];
  private going = true;
  private readonly lines: Promise<void>[];

  constructor(
    private readonly url: string,
    private readonly headers: Record<string, string> = {},
  ) {
    this.lines = Array.from({ length: 4 }, () => this.line());
  }

  private async line(): Promise<void> {
    while (this.going) {
      try {
        const answer = await fetch(this.url, { headers: this.headers });
        await answer.arrayBuffer();
        if (answer.status === 200) {
          this.answered += 1;
        } else {
          this.failed.push(String(answer.status));
        }
      } catch (error) {
        this.failed.push(String(error));
      }
    }
  }

  async more(count: number): Promise<void> {
    const from = this.answered;
    await waitFor(() => (this.answered >= from + count ? true : undefined), { what: 'answers', deadlineMs: 20_000 });
  }

  async end(): Promise<void> {
    this.going = false;
    await Promise.all(this.lines);
  }
}
