import { Command } from 'commander';
import { NOUNS } from './commands/index.js';
import type { Environment } from './frame/command.js';
import { EXIT } from './frame/exit-codes.js';
import { seconds } from './frame/flags.js';
import { CommandError, Output } from './frame/output.js';

const DEFAULT_TIMEOUT_SECONDS = 600;

/** The whole command line; tests build it with their own streams and platform. */
export function buildProgram(environment: Environment): Command {
  const program = new Command('aviary')
    .description('Operates an Aviary platform: the same operations as its pages, for people and scripts.')
    .option('--json', 'one JSON document on stdout, also on failure', false)
    .option('--plain', 'tabs and no head, for cut and awk', false)
    .option('-q, --quiet', 'say nothing on the way', false)
    .option('-v, --verbose', 'say more on the way', false)
    .option('--no-color', 'no colour and no animation')
    .option('--no-input', 'never ask')
    .option('--detach', 'do not wait for the operation', false)
    .option('--timeout <seconds>', 'wait at most this long', seconds, DEFAULT_TIMEOUT_SECONDS)
    .option('--as <operator>', 'act in the name of this operator')
    .configureOutput({
      writeOut: (text) => environment.streams.stdout.write(text),
      writeErr: (text) => environment.streams.stderr.write(text),
    })
    .showHelpAfterError('(see --help)')
    .exitOverride();
  for (const noun of NOUNS) {
    noun(program, environment);
  }
  inheritSettings(program);
  return program;
}

/** Commander copies exit handling only to commands made after it; ours are made by other files. */
function inheritSettings(parent: Command): void {
  for (const child of parent.commands) {
    child.copyInheritedSettings(parent);
    inheritSettings(child);
  }
}

/** Runs one command line; commander's own endings become our exit codes. */
export async function runProgram(environment: Environment, argv: readonly string[]): Promise<void> {
  try {
    await buildProgram(environment).parseAsync([...argv], { from: 'user' });
  } catch (error) {
    const code = (error as { code?: unknown }).code;
    if (typeof code !== 'string' || !code.startsWith('commander.')) {
      throw error;
    }
    const helped = ['commander.helpDisplayed', 'commander.help', 'commander.version'].includes(code);
    if (!helped && argv.includes('--json')) {
      // Scripts are promised one document on every failure, also on one that no command saw.
      const output = new Output({ json: true, plain: false, quiet: true, color: false }, environment.streams);
      const noun = argv.find((word) => /^[a-z]+$/.test(word)) ?? 'usage';
      output.failure(`aviary/${noun}/1`, new CommandError(EXIT.usage, (error as Error).message));
    }
    environment.exit(helped && argv.length > 0 ? EXIT.done : EXIT.usage);
  }
}
