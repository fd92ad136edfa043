import type { CommandContext } from './command.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import { CommandError } from './output.js';

interface Look {
  schema: string;
  data: unknown;
  /** Writes the same for a person. */
  print: () => void;
  /** What a person has to see to, in a sentence; null where all is well. */
  wrong: string | null;
  /** What goes on and is not at its end, in a sentence; null or left out where all is. */
  unfinished?: string | null;
}

/** Ends a command that looks: what it saw is told either way, and a script learns from the code that it is not well. */
export function looked({ output }: CommandContext, { schema, data, print, wrong, unfinished = null }: Look): ExitCode {
  if (!output.options.json) {
    print();
  }
  if (wrong !== null) {
    return output.failure(schema, new CommandError(EXIT.problems, wrong), data);
  }
  if (unfinished !== null) {
    return output.failure(schema, new CommandError(EXIT.unfinished, unfinished), data);
  }
  if (output.options.json) {
    output.result(schema, data, '');
  }
  return EXIT.done;
}
