import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { waitFor } from '#libs/async';
import { RESTIC, type BackedUpStack, type BackupWorld } from './backup-world.js';
import { locksIn } from './faults/left-over.js';

/** A restic of the stack's own repository, killed while it holds its lock. */
export async function killedRestic(
  world: BackupWorld,
  stack: BackedUpStack,
  command: readonly string[],
): Promise<void> {
  const { url, password } = await world.placeOf(stack.id);
  const file = join(world.home, `password-${stack.slug}`);
  await writeFile(file, password);
  // One that reads little is over soon: until it is met while it works.
  await waitFor(
    async () => {
      const child = spawn(RESTIC, ['-r', url, '--password-file', file, ...command], {
        stdio: ['pipe', 'ignore', 'ignore'],
      });
      const ended = once(child, 'exit');
      while (child.exitCode === null && (await locksIn(url)).length === 0) {
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      child.kill('SIGKILL');
      await ended;
      return (await locksIn(url)).length > 0 ? true : undefined;
    },
    { what: 'a lock that is left', deadlineMs: 100_000 },
  );
}
