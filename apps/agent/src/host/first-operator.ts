import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readText, writeWhole } from './files.js';
import { portalRows } from './portal-database.js';
import { CommandError, run } from './run-command.js';
import type { Platform } from './settings.js';
import { Refusal } from './talk.js';

/** What the first operator needs of the platform. */
export interface OperatorDesk {
  /** E-mail addresses of active operators. */
  operators(): Promise<string[]>;
  /** Makes the operator; false when an account has that address or name already. */
  create(password: string): Promise<boolean>;
  /** Shows the person how to sign in. */
  tell(words: OperatorWords): void;
}

/** `password` is null where only who set it knows it. */
export interface OperatorWords {
  email: string;
  password: string | null;
}

/**
 * Makes the first operator and shows its password, once. The password lies in a file of root's from before the account
 * is made until it was shown, so a run that ends anywhere in between is completed by the next one.
 */
export async function firstOperator(dataDir: string, email: string, desk: OperatorDesk): Promise<void> {
  const done = join(dataDir, 'first-operator');
  const pending = join(dataDir, 'secrets', 'first-operator-password');
  const finish = async (words: OperatorWords): Promise<void> => {
    desk.tell(words);
    await writeWhole(done, `${words.email}\n`, { mode: 0o644 });
    await rm(pending, { force: true });
  };
  if ((await readText(done)) !== null) {
    // A run may have ended between the two lines above.
    await rm(pending, { force: true });
    return;
  }
  const before = await readText(pending);
  const there = await desk.operators();
  if (before !== null && there.includes(email)) {
    return finish({ email, password: before.trim() });
  }
  const [other] = there;
  if (other !== undefined) {
    return finish({ email: other, password: null });
  }
  const password = before?.trim() ?? randomBytes(12).toString('base64url');
  await writeWhole(pending, `${password}\n`, { mode: 0o600 });
  if (!(await desk.create(password))) {
    await rm(pending);
    throw new Refusal([
      `There is no operator yet, and ${email} or the name "operator" belongs to another account. Set AVIARY_OPERATOR_EMAIL in .env to another address, or make an operator with scripts/aviary user create --operator --username NAME --email ADDRESS.`,
    ]);
  }
  return finish({ email, password });
}

const EXIT_TAKEN = 5;
const CREATE_MS = 60_000;

export function operatorDesk(platform: Platform, tell: OperatorDesk['tell']): OperatorDesk {
  const email = platform.config.OPERATOR_EMAIL.toLowerCase();
  return {
    tell,
    operators: async () =>
      (
        await portalRows(
          platform,
          `select email from accounts where role = 'operator' and state = 'active' order by id`,
        )
      ).map(([address]) => address ?? ''),
    create: async (password) => {
      const cli = ['node', 'dist/apps/cli/src/main.js', 'user', 'create', '--operator', '--password-stdin'];
      const account = ['--username', 'operator', '--email', email];
      try {
        await run('docker', ['exec', '-i', `aviary-${platform.prefix}-worker`, ...cli, ...account], {
          input: `${password}\n`,
          deadlineMs: CREATE_MS,
        });
        return true;
      } catch (error) {
        if (error instanceof CommandError && error.exitCode === EXIT_TAKEN) {
          return false;
        }
        throw error;
      }
    },
  };
}
