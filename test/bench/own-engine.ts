import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

const SCRIPT = join(import.meta.dirname, '../../scripts/dev/in-test-engine');

/**
 * Begins this process anew, with the same arguments, beside a fresh engine that nobody else uses, and ends this one with
 * the other's exit code. Gives back at once where that has happened already.
 */
export async function inOwnEngine(): Promise<void> {
  if (process.env['AVIARY_TEST_DOCKER'] !== undefined) {
    return;
  }
  const child = spawn(SCRIPT, [process.execPath, ...process.execArgv, ...process.argv.slice(1)], { stdio: 'inherit' });
  // It is told the same by the terminal, and ends its engine first.
  process.on('SIGINT', () => undefined);
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  const [code] = (await once(child, 'exit')) as [number | null];
  process.exit(code ?? 1);
}
