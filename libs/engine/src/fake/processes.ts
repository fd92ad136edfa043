/** What runs inside the in-memory engine's containers. */
export interface FakeFile {
  content: Buffer;
  mode: number;
  uid: number;
  gid: number;
}

export interface ProcessContext {
  readonly name: string;
  readonly image: string;
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly user: string;
  /** What a helper got on its standard input. */
  readonly stdin: string;
  /** A file by its path in the container, found through its mounts. */
  file(path: string): FakeFile | undefined;
  log(...lines: string[]): void;
  exit(code: number, how?: { oomKilled?: boolean }): void;
}

export interface FakeProcess {
  /** Called at each start, when the container counts as running. */
  start?(context: ProcessContext): void;
  /** Called on the stop signal; the exit code to end with, or `ignored` to be killed after the grace (137). */
  stop?(context: ProcessContext): number | 'ignored';
  /** Whether it would answer a readiness probe now; asked through FakeEngine.isReady. */
  ready?(context: ProcessContext): boolean;
}

/** Chooses the process of a container, by its name, image, command or labels. */
export type Behaviour = (context: Omit<ProcessContext, 'log' | 'exit' | 'file'>) => FakeProcess;

/** Runs until it is stopped, ready at once; a process that does not catch SIGTERM ends with 143. */
export function healthy(...lines: string[]): FakeProcess {
  return { start: (context) => context.log(...lines), stop: () => 143, ready: () => true };
}

/** Runs, but never becomes ready. */
export function neverReady(...lines: string[]): FakeProcess {
  return { start: (context) => context.log(...lines), stop: () => 143, ready: () => false };
}

/** Prints and ends at each start. */
export function exits(code: number, ...lines: string[]): FakeProcess {
  return {
    start: (context) => {
      context.log(...lines);
      context.exit(code);
    },
    ready: () => false,
  };
}

export function outOfMemory(...lines: string[]): FakeProcess {
  return {
    start: (context) => {
      context.log(...lines);
      context.exit(137, { oomKilled: true });
    },
    ready: () => false,
  };
}

/** Takes no notice of the stop signal. */
export function stubborn(): FakeProcess {
  return { stop: () => 'ignored', ready: () => true };
}

/**
 * The default: a healthy server, unless the command is one of a few words that mean the same as a line of shell on a
 * real engine. The contract suite is written with these.
 */
export const byCommand: Behaviour = ({ command }) => {
  const [word, ...rest] = command;
  switch (word ?? '') {
    case 'fake:print':
      return exits(Number(rest[0]), ...rest.slice(1));
    case 'fake:stubborn':
      return stubborn();
    case 'fake:cat':
      return {
        start: (context) => {
          context.log(...context.stdin.split('\n').filter((line, index, all) => index < all.length - 1 || line !== ''));
          context.exit(Number(rest[0]));
        },
      };
    case 'fake:show':
      return { start: (context) => show(context, rest) };
    default:
      return healthy();
  }
};

/** `stat -c '%a %u:%g'` and `cat` of each path, as the container's user. */
function show(context: ProcessContext, paths: readonly string[]): void {
  let failed = false;
  for (const path of paths) {
    const file = context.file(path);
    const [uid] = context.user.split(':').map(Number);
    const readable = file && (uid === file.uid ? file.mode & 0o400 : file.mode & 0o004);
    if (!readable) {
      failed = true;
      context.log(`cannot read ${path}`);
    } else {
      context.log(`${file.mode.toString(8)} ${file.uid}:${file.gid}`, ...file.content.toString().trimEnd().split('\n'));
    }
  }
  context.exit(failed ? 1 : 0);
}
