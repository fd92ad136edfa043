import { z } from 'zod';
import { DomainError } from '#libs/contracts';
import { shapes, type Config, type ProcessName } from './schema.js';

const PREFIX = 'AVIARY_';
const PLACEHOLDER = /^(changeme|change-me|secret|password|example|todo|xxx+)$/i;

/**
 * Reads the settings of one process from the environment, once. Throws CONFIG_INVALID with the names of the
 * variables that are wrong and why, never their values.
 */
export function loadConfig<P extends ProcessName>(
  process_: P,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Config<P> {
  const schema = z.object(shapes[process_]);
  const input: Record<string, string> = {};
  for (const name of Object.keys(shapes[process_])) {
    const value = env[PREFIX + name];
    if (value !== undefined && value !== '') {
      input[name] = value;
    }
  }
  const result = schema.safeParse(input);
  const problems = result.success
    ? []
    : result.error.issues.map((issue) => ({ variable: PREFIX + issue.path.join('.'), problem: issue.message }));
  for (const [name, value] of Object.entries(input)) {
    if (PLACEHOLDER.test(value) && (input['ENV'] ?? 'production') === 'production') {
      problems.push({ variable: PREFIX + name, problem: 'is a placeholder; generate a real value' });
    }
  }
  if (problems.length > 0 || !result.success) {
    const words = problems.map(({ variable, problem }) => `${variable} ${problem}`).join('; ');
    throw new DomainError('CONFIG_INVALID', { message: `Settings are not valid: ${words}.`, details: { problems } });
  }
  return Object.freeze(result.data) as unknown as Config<P>;
}

/** The variables of a process's settings that are set, by their full names and as they were given. */
export function givenSettings(
  process_: ProcessName,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Record<string, string> {
  return Object.fromEntries(
    Object.keys(shapes[process_]).flatMap((key) => {
      const value = env[PREFIX + key];
      return value === undefined || value === '' ? [] : [[PREFIX + key, value]];
    }),
  );
}

/** `https://host` with the port only where it is not 443. */
export function httpsOrigin(host: string, port: number): string {
  return port === 443 ? `https://${host}` : `https://${host}:${port}`;
}
