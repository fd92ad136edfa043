import { runProgram } from './program.js';

const interrupted = new AbortController();
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(name, () => interrupted.abort());
}

await runProgram(
  {
    streams: process,
    stdinIsTty: process.stdin.isTTY === true,
    // oxlint-disable-next-line node/no-process-env -- a convention of terminals, not a setting of the platform
    color: process.stderr.isTTY === true && !process.env['NO_COLOR'] && process.env['TERM'] !== 'dumb',
    interrupted: interrupted.signal,
    // Loaded late: `--help` and a usage error need no database library.
    connect: async (options) => {
      const { connectPlatform } = await import('./frame/platform.js');
      return connectPlatform(options.as, options.verbose);
    },
    exit: (code) => {
      process.exitCode = code;
    },
  },
  process.argv.slice(2),
);
