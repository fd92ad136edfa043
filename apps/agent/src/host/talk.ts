/** What is said to the person goes to standard error, one line each; standard output is for results. */
export function say(text: string): void {
  process.stderr.write(`· ${text}\n`);
}

export function result(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** A reason to stop that the person can act on: one clear sentence, and no stack. */
export class Refusal extends Error {
  constructor(
    readonly sentences: readonly string[],
    readonly exitCode = 1,
  ) {
    super(sentences.join('\n'));
    this.name = 'Refusal';
  }
}

/** Runs a host command to its end and sets the exit code. */
export async function hostCommand(work: () => Promise<number | void>): Promise<void> {
  try {
    process.exitCode = (await work()) ?? 0;
  } catch (error) {
    if (error instanceof Refusal) {
      error.sentences.forEach((sentence) => process.stderr.write(`✗ ${sentence}\n`));
      process.exitCode = error.exitCode;
      return;
    }
    process.stderr.write(`✗ ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
