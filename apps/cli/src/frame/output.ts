import { randomUUID } from 'node:crypto';
import { isDomainError, type ErrorBody } from '#libs/contracts';
import { EXIT, exitCodeOf, type ExitCode } from './exit-codes.js';
import { formatPlain, formatTable, type Column } from './table.js';

export interface Streams {
  stdout: { write(text: string): unknown; isTTY?: boolean; columns?: number };
  stderr: { write(text: string): unknown; isTTY?: boolean };
}

export interface OutputOptions {
  json: boolean;
  plain: boolean;
  quiet: boolean;
  color: boolean;
}

/** The errors a database connection can end with: the platform is away, whatever the command wanted. */
const AWAY =
  /ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|57P0|Connection terminated|timeout exceeded when trying to connect/;

/** stdout is the result and nothing else; everything said to a person on the way goes to stderr. */
export class Output {
  constructor(
    readonly options: OutputOptions,
    private readonly streams: Streams,
  ) {}

  get live(): boolean {
    return this.streams.stderr.isTTY === true && !this.options.json && this.options.color;
  }

  /** Whether its result goes to somebody's screen, and nowhere else. */
  get isRead(): boolean {
    return this.streams.stdout.isTTY === true;
  }

  /** The same all on stderr, for a command whose result on stdout is no text. */
  aside(): Output {
    return new Output(this.options, { stdout: this.streams.stderr, stderr: this.streams.stderr });
  }

  say(text: string): void {
    if (!this.options.quiet && !this.options.json) {
      this.streams.stderr.write(`${text}\n`);
    }
  }

  /** Rewrites one line of a terminal; with an empty text it clears it. */
  rewrite(text: string): void {
    if (this.live && !this.options.quiet) {
      this.streams.stderr.write(`\r\u001b[2K${text}`);
    }
  }

  /** The result of a command that is about one thing. */
  result(schema: string, data: unknown, human: string): void {
    this.streams.stdout.write(
      this.options.json
        ? `${JSON.stringify({ schema, ok: true, data, error: null, exit: EXIT.done })}\n`
        : human === ''
          ? ''
          : `${human}\n`,
    );
  }

  /** One object a line, for commands that follow something. */
  line(schema: string, data: unknown): void {
    this.result(schema, data, '');
  }

  list<T>(schema: string, page: { items: readonly T[]; next: string | null }, columns: readonly Column<T>[]): void {
    if (this.options.json) {
      this.result(schema, page, '');
      return;
    }
    const { stdout } = this.streams;
    const width = stdout.isTTY === true ? (stdout.columns ?? 0) : 0;
    const text = this.options.plain ? formatPlain(page.items, columns) : formatTable(page.items, columns, width);
    stdout.write(page.items.length === 0 && this.options.plain ? '' : `${text}\n`);
    if (page.items.length === 0) {
      this.say('nothing to list');
    }
    if (page.next !== null) {
      this.say(`more: --cursor ${page.next}`);
    }
  }

  /** Tells why, as a person or a script can use it, and returns the exit code. */
  failure(schema: string, error: unknown, data: unknown = null): ExitCode {
    const told = describe(error);
    if (this.options.json) {
      this.streams.stdout.write(
        `${JSON.stringify({ schema, ok: false, data, error: { ...told.body, hint: told.hint }, exit: told.exit })}\n`,
      );
    } else {
      this.rewrite('');
      this.streams.stderr.write(
        `error ${told.body.code}: ${told.body.message}${told.hint === null ? '' : `\n${told.hint}`}\n`,
      );
    }
    return told.exit;
  }
}

interface Told {
  body: ErrorBody;
  hint: string | null;
  exit: ExitCode;
}

/** A command that ended with another code than its error's own, such as a wait that ran out. */
export class CommandError extends Error {
  constructor(
    readonly exit: ExitCode,
    message: string,
    readonly hint: string | null = null,
  ) {
    super(message);
    this.name = 'CommandError';
  }
}

function describe(error: unknown): Told {
  const errorId = randomUUID();
  if (error instanceof CommandError) {
    const code =
      error.exit === EXIT.usage
        ? 'VALIDATION_FAILED'
        : error.exit === EXIT.unfinished
          ? 'DEADLINE_EXCEEDED'
          : 'WRONG_STATE';
    return { body: { code, message: error.message, errorId, details: {} }, hint: error.hint, exit: error.exit };
  }
  if (isDomainError(error)) {
    const exit = exitCodeOf(error.code);
    return { body: { code: error.code, message: error.message, errorId, details: error.details }, hint: null, exit };
  }
  const text =
    error instanceof Error
      ? `${error.message} ${'code' in error && typeof error.code === 'string' ? error.code : ''}`
      : String(error);
  if (AWAY.test(text)) {
    return {
      body: { code: 'UNAVAILABLE', message: 'The portal’s database does not answer.', errorId, details: {} },
      hint: 'See what is wrong with: aviary doctor',
      exit: EXIT.away,
    };
  }
  return {
    body: { code: 'INTERNAL', message: error instanceof Error ? error.message : String(error), errorId, details: {} },
    hint: null,
    exit: EXIT.failed,
  };
}
