import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { DomainError } from '#libs/contracts';
import { isSecret, shapes, type Config, type ProcessName } from './schema.js';

const PREFIX = 'AVIARY_';
const FILE = '_FILE';
const PLACEHOLDER = /^(changeme|change-me|secret|password|example|todo|xxx+)$/i;

type Environment = Readonly<Record<string, string | undefined>>;

/** A secret out of the file that a variable names, without the line's end an editor adds. */
function readSecret(path: string): { text: string } | { problem: string } {
  try {
    return { text: readFileSync(path, 'utf8').replace(/\r?\n$/, '') };
  } catch (error) {
    return { problem: `names a file that cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})` };
  }
}

/** One setting as it was given, by its variable or, a secret, by the file that `<variable>_FILE` names. */
function given(variable: string, schema: z.ZodType, env: Environment): { text: string } | { problem: string } {
  const text = env[variable] ?? '';
  const path = isSecret(schema) ? (env[variable + FILE] ?? '') : '';
  if (path === '') {
    return { text };
  }
  return text === '' ? readSecret(path) : { problem: `is set, and ${variable} too: set one of the two` };
}

/**
 * Reads the settings of one process from the environment and the files it names, once. Throws CONFIG_INVALID with the
 * names of the variables that are wrong and why, never their values.
 */
export function loadConfig<P extends ProcessName>(process_: P, env: Environment = process.env): Config<P> {
  const shape: Readonly<Record<string, z.ZodType>> = shapes[process_];
  const input: Record<string, string> = {};
  const problems: { variable: string; problem: string }[] = [];
  const unread = new Set<string>();
  for (const [name, schema] of Object.entries(shape)) {
    const found = given(PREFIX + name, schema, env);
    if ('problem' in found) {
      unread.add(name);
      problems.push({ variable: PREFIX + name + FILE, problem: found.problem });
    } else if (found.text !== '') {
      input[name] = found.text;
    }
  }
  const result = z.object(shapes[process_]).safeParse(input);
  for (const { path, message } of result.error?.issues ?? []) {
    // Of what could not be read, that was said.
    if (!unread.has(String(path[0]))) {
      problems.push({ variable: PREFIX + path.join('.'), problem: message });
    }
  }
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
export function givenSettings(process_: ProcessName, env: Environment = process.env): Record<string, string> {
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
