import type { Command } from 'commander';
import { EXIT, type ExitCode } from './exit-codes.js';
import { CommandError, Output, type Streams } from './output.js';
import type { Platform } from './platform.js';

/** Flags every command takes. */
export interface GlobalOptions {
  json: boolean;
  plain: boolean;
  quiet: boolean;
  verbose: boolean;
  color: boolean;
  input: boolean;
  detach: boolean;
  timeout: number;
  as?: string;
}

export interface CommandContext {
  output: Output;
  options: GlobalOptions;
  /** True when a question may be asked: on a terminal, and not with --no-input. */
  mayAsk: boolean;
  /** Fires at Ctrl-C, and where it is told to end or its terminal goes. */
  interrupted: AbortSignal;
  /** Services of the platform, connected at the first call. */
  platform(): Promise<Platform>;
}

export type Action = (
  context: CommandContext,
  args: readonly string[],
  flags: Readonly<Record<string, unknown>>,
) => Promise<ExitCode | void>;

export interface Environment {
  streams: Streams;
  stdinIsTty: boolean;
  color: boolean;
  interrupted: AbortSignal;
  connect: (options: GlobalOptions) => Promise<Platform>;
  exit: (code: ExitCode) => void;
}

/** Binds an action to a command: result to stdout, failure to its exit code, connections closed either way. */
export function handle(environment: Environment, schema: string, action: Action) {
  return async (...received: unknown[]): Promise<void> => {
    const command = received.at(-1) as Command;
    const options = command.optsWithGlobals<GlobalOptions>();
    const output = new Output({ ...options, color: options.color && environment.color }, environment.streams);
    let platform: Platform | undefined;
    let code: ExitCode = EXIT.done;
    try {
      const context: CommandContext = {
        output,
        options,
        mayAsk: environment.stdinIsTty && options.input && !options.json,
        interrupted: environment.interrupted,
        platform: async () => (platform ??= await environment.connect(options)),
      };
      code = (await action(context, command.args, command.opts())) ?? EXIT.done;
    } catch (error) {
      code = output.failure(schema, error);
    } finally {
      await platform?.close();
    }
    environment.exit(code);
  };
}

/** Destroying asks for the slug itself; without a terminal the flag has to carry it. */
export async function confirmSlug(
  context: CommandContext,
  slug: string,
  given: unknown,
  effect: string,
): Promise<void> {
  if (given === slug) {
    return;
  }
  if (typeof given === 'string') {
    throw new CommandError(EXIT.usage, `--confirm=${given} is not ${slug}; nothing was done.`);
  }
  if (!context.mayAsk) {
    throw new CommandError(EXIT.usage, `${effect} Needs --confirm=${slug}.`);
  }
  const { createInterface } = await import('node:readline/promises');
  const ask = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const typed = await ask.question(`${effect}\nType ${slug} to go on: `, { signal: context.interrupted });
    if (typed.trim() !== slug) {
      throw new CommandError(EXIT.usage, 'That is not its name; nothing was done.');
    }
  } finally {
    ask.close();
  }
}
