import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { DomainError } from '#libs/contracts';
import { MasterKey } from './master-key.js';

/** How long a command may take: a service of keys answers in a second or not at all. */
const COMMAND_MS = 20_000;
/** A key is 44 characters. */
const MOST_OUTPUT = 4_096;
const MOST_TOLD = 300;
/** What may be a key, in hex or base64, whoever printed it: 43 digits and more. */
const LIKE_A_KEY = /[\w+/-]{43,}=*/g;

/** Where a master key comes from; asked once, when a process starts. */
export interface MasterKeySource {
  /** Throws CONFIG_INVALID with one sentence that never holds the key. */
  read(): Promise<MasterKey>;
}

export interface MasterKeySettings {
  /** Such as `AVIARY_MASTER_KEY`; `_FILE` and `_COMMAND` behind it are the other two ways. */
  variable: string;
  /** From the environment or a file, as libs/config reads both. */
  key: string;
  /** A program and its arguments, divided by spaces. */
  command: string;
  /** Where programs are looked for: the only thing of a command's environment but its language. */
  path: string;
  deadlineMs?: number;
}

/** The one source that is set, or null where none is. Throws CONFIG_INVALID where two are. */
export function masterKeySource(settings: MasterKeySettings): MasterKeySource | null {
  const { variable, key, command } = settings;
  if (key !== '' && command !== '') {
    throw new DomainError('CONFIG_INVALID', {
      message: `${variable}_COMMAND is set, and ${variable} or ${variable}_FILE too: set one of the three.`,
    });
  }
  if (key !== '') {
    return { read: () => Promise.resolve(MasterKey.parse(key, variable)) };
  }
  if (command.trim() === '') {
    return null;
  }
  return { read: async () => MasterKey.parse(await output(settings), `The output of ${variable}_COMMAND`) };
}

/** No shell: what is in the setting can only ever be words of one program's arguments. */
async function output({ variable, command, path, deadlineMs = COMMAND_MS }: MasterKeySettings): Promise<string> {
  const [program = '', ...args] = command.trim().split(/\s+/);
  const failed = (why: string): DomainError =>
    new DomainError('CONFIG_INVALID', { message: `${variable}_COMMAND gave no key: ${why}.` });
  // A group of its own, so that what a script of a person's started ends with it.
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: path, LANG: 'C' },
    detached: true,
  });
  let late = false;
  const end = (): void => {
    if (child.pid === undefined) {
      return;
    }
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') {
        throw error;
      }
    }
  };
  const timer = setTimeout(() => {
    late = true;
    end();
    // What left the group may hold them open for as long as it likes.
    child.stdout.destroy();
    child.stderr.destroy();
  }, deadlineMs);
  try {
    const closed = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
    const [out, err, [code, signal]] = await Promise.all([bounded(child.stdout), bounded(child.stderr), closed]);
    if (late) {
      throw failed(`it did not end within ${deadlineMs / 1_000} s`);
    }
    if (code !== 0) {
      throw failed(`it ended with ${code ?? signal}${told(err)}`);
    }
    return out;
  } catch (error) {
    if (error instanceof DomainError) {
      throw error;
    }
    throw failed(`it cannot be run (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`);
  } finally {
    clearTimeout(timer);
  }
}

/** What is beyond the bound is read and forgotten, so that the program does not wait for us. */
async function bounded(stream: Readable): Promise<string> {
  let text = '';
  stream.setEncoding('utf8').on('data', (chunk: string) => {
    text = (text + chunk).slice(0, MOST_OUTPUT);
  });
  await once(stream, 'close');
  return text;
}

function told(stderr: string): string {
  const words = stderr.replaceAll(LIKE_A_KEY, '[removed]').replaceAll(/\s+/g, ' ').trim();
  return words === '' ? '' : `: ${words.slice(-MOST_TOLD)}`;
}
