import type { Server, ServerResponse } from 'node:http';

/**
 * Lets a server that takes nothing new come to its end: Node waits for the end of every connection, and closes by itself
 * only those that idle in that moment. One whose answer is under way would be kept afterwards, and one that never
 * carried a request is not idle to it; a proxy has both.
 */
export class OpenAnswers {
  private readonly answers = new Set<ServerResponse>();
  private ending = false;

  constructor(private readonly server: Server) {
    server.on('request', (_request, answer: ServerResponse) => {
      this.answers.add(answer);
      answer.once('close', () => {
        this.answers.delete(answer);
        this.settle();
      });
    });
  }

  /** To be called with the server's own `close`: from the last answer on, no connection is left. */
  end(): void {
    this.ending = true;
    this.settle();
  }

  private settle(): void {
    if (this.ending && this.answers.size === 0) {
      setImmediate(() => this.server.closeAllConnections());
    }
  }
}
