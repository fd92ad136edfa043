import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** A second way to a server's socket, whose connections a test breaks. */
export class CutSocket {
  private readonly sockets = new Set<Socket>();

  private constructor(private readonly server: Server) {}

  static async open(path: string, target: string): Promise<CutSocket> {
    const server = createServer();
    const cuts = new CutSocket(server);
    server.on('connection', (client) => cuts.pass(client, connect(target)));
    server.listen(path);
    await once(server, 'listening');
    return cuts;
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
