import { say } from './talk.js';

/**
 * Does what comes once a command has done what it is for. Where that fails it is said, and what was done stays done: a
 * script that reads an exit code would take it for not done. Gives what was said.
 */
export async function afterwards(works: Readonly<Record<string, () => Promise<void>>>): Promise<string[]> {
  const warnings: string[] = [];
  for (const [what, work] of Object.entries(works)) {
    try {
      await work();
    } catch (error) {
      warnings.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  warnings.forEach(say);
  return warnings;
}
