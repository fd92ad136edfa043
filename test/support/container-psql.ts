import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { createInterface } from 'node:readline';
import { engineEndpoint } from './engine.js';

const DEADLINE_MS = 120_000;

/**
 * Statements to a database in a container, by its own psql. Sessions stay from one statement to the next: tests look at
 * rows until they change, and to start a process in a container costs a tenth of a second of a processor.
 */
export class ContainerPsql {
  private readonly free: Session[] = [];

  constructor(
    private readonly container: string,
    private readonly login: { user: string; database: string },
  ) {}

  /** Gives what psql prints, columns apart by `|`, no header. Throws what the database says, and where it is away. */
  async query(statement: string): Promise<string> {
    for (;;) {
      const kept = this.free.pop();
      const session = kept ?? new Session(this.container, this.login);
      try {
        const said = await session.query(statement);
        this.free.push(session);
        return said;
      } catch (error) {
        // One that was kept may have ended with its server meanwhile: that says nothing about a new one.
        if (kept === undefined || session.refused) {
          throw error;
        }
      }
    }
  }

  close(): void {
    this.free.splice(0).forEach((session) => session.end());
  }
}

class Session {
  private ended: Error | null = null;
  private readonly child: ChildProcessWithoutNullStreams;
  private printed: string[] = [];
  private errors = '';
  private waiting: { mark: string; done: (lines: string[]) => void; failed: (why: Error) => void } | null = null;

  constructor(container: string, { user, database }: { user: string; database: string }) {
    const psql = ['psql', '-X', '-U', user, '-d', database, '-At', '-v', 'ON_ERROR_STOP=1'];
    this.child = spawn('docker', ['-H', engineEndpoint(), 'exec', '-i', container, ...psql]);
    createInterface({ input: this.child.stdout }).on('line', (line) => this.heard(line));
    this.child.stderr.on('data', (chunk: Buffer) => (this.errors += chunk.toString()));
    // Its end, told below, says why.
    this.child.stdin.on('error', () => undefined);
    this.child.once('error', (error) => this.over(error));
    this.child.once('close', () => this.over(new Error(`psql in ${container} ended: ${this.errors}`)));
  }

  /** The server answered, and not with what was asked for. */
  get refused(): boolean {
    return this.errors.includes('ERROR:');
  }

  async query(statement: string): Promise<string> {
    if (this.ended !== null) {
      throw this.ended;
    }
    // psql says when it came to this line; a statement that fails ends it before.
    const mark = randomUUID();
    const late = setTimeout(() => this.end(), DEADLINE_MS);
    try {
      const lines = await new Promise<string[]>((done, failed) => {
        this.waiting = { mark, done, failed };
        this.child.stdin.write(`${statement}\n;\n\\echo ${mark}\n`);
      });
      return lines.join('\n').trim();
    } finally {
      clearTimeout(late);
    }
  }

  end(): void {
    this.child.kill();
  }

  private heard(line: string): void {
    if (line !== this.waiting?.mark) {
      this.printed.push(line);
      return;
    }
    const { done } = this.waiting;
    const lines = this.printed;
    [this.waiting, this.printed] = [null, []];
    done(lines);
  }

  private over(why: Error): void {
    this.ended = why;
    this.waiting?.failed(why);
    this.waiting = null;
  }
}
