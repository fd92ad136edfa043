import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

type Place = string | { host: string; port: number };

/** A second way to a server, whose connections a test breaks; both places are a socket's path, or an address. */
export class CutSocket {
  private readonly sockets = new Set<Socket>();

  private constructor(private readonly server: Server) {}

  static async open(place: Place, target: Place): Promise<CutSocket> {
    const server = createServer();
    const cuts = new CutSocket(server);
    const there = typeof target === 'string' ? { path: target } : target;
    server.on('connection', (client) => cuts.pass(client, connect(there)));
    server.listen(typeof place === 'string' ? { path: place } : place);
    await once(server, 'listening');
    return cuts;
  }

  /** Where it listens, where it was opened at an address. */
  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  cut(): void {
    this.sockets.forEach((socket) => socket.destroy());
  }

  async close(): Promise<void> {
    this.cut();
    this.server.close();
    await once(this.server, 'close');
  }

  /** An end is passed on, as the engine's clients end their input; a break breaks the other side. */
  private pass(client: Socket, server: Socket): void {
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.sockets.add(one);
      one.allowHalfOpen = true;
      one.on('error', () => undefined);
      one.once('close', () => {
        this.sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  }
}
