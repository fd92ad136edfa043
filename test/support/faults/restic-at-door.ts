import { once } from 'node:events';
import { readdir, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { waitFor } from '#libs/async';
import type { Door, Passage } from './door.js';
import { locksIn } from './left-over.js';

/** One that reads little holds its lock for some milliseconds. */
const LOOK_EVERY_MS = 1;
const LONGEST_WORK_MS = 30_000;

/**
 * A program that is restic, and asks the door before it begins and before its end is known. Its own process is the
 * agent's child, so it dies with the agent, as all do in a container.
 */
export class ResticAtDoor {
  private constructor(
    readonly binary: string,
    private readonly server: Server,
    private readonly sockets: Set<Socket>,
  ) {}

  static async make(options: {
    door: Door;
    restic: string;
    /** Where the program is written. */
    home: string;
    /** Of the stack; what works on another passes. */
    repository: string;
  }): Promise<ResticAtDoor> {
    const { door, repository } = options;
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      // A restic that was killed with its agent says nothing more.
      socket.on('error', () => socket.destroy());
      serve(socket).catch(() => socket.destroy());
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const binary = join(options.home, 'restic-at-door');
    await writeFile(binary, script(port, options.restic), { mode: 0o755 });

    async function serve(socket: Socket): Promise<void> {
      let passage: Passage | null = null;
      let atWork: () => Promise<boolean> = () => Promise.resolve(true);
      for await (const line of createInterface({ input: socket, crlfDelay: Infinity })) {
        const [word, ...args] = line.split(' ');
        if (word === 'begins') {
          passage = args.includes(repository) ? await door.begins(`restic ${commandOf(args)}`) : null;
          atWork = () => isAtWork(repository, args);
          socket.write('go\n');
        } else if (word === 'works' && passage?.wantsDuring === true) {
          // Beside what it says next: its end.
          void met(passage, working(socket, atWork));
        } else if (word === 'ended') {
          await passage?.ended();
          socket.write('go\n');
        }
      }
    }
    return new ResticAtDoor(binary, server, sockets);
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) {
      socket.destroy();
    }
    this.server.close();
    await once(this.server, 'close');
  }
}

/** Also where it is never seen at work: its end is then met instead. */
async function met(passage: Passage, atWork: Promise<unknown>): Promise<void> {
  await Promise.allSettled([atWork]);
  await passage.during();
}

/** Those options of `libs/restic` that have no word of their own. */
const BARE = ['--json', '--cleanup-cache'];

/** Options of `libs/restic` come before the command. */
export function commandOf(args: readonly string[]): string {
  for (let at = 0; at < args.length; at += 1) {
    const word = args[at] ?? '';
    if (!word.startsWith('--')) {
      return word;
    }
    at += BARE.includes(word) ? 0 : 1;
  }
  return '';
}

/** Until it is there, or has ended. */
async function working(socket: Socket, atWork: () => Promise<boolean>): Promise<void> {
  const state = { ended: false };
  socket.once('data', () => (state.ended = true));
  await waitFor(async () => state.ended || socket.destroyed || (await atWork()) || undefined, {
    what: 'restic at work',
    deadlineMs: LONGEST_WORK_MS,
    intervalMs: LOOK_EVERY_MS,
    maxIntervalMs: LOOK_EVERY_MS,
  });
}

/**
 * It holds its lock; one that takes none is met as soon as it was started. Of a forget, what it is to take off the list
 * is off, and what only that needed still lies there.
 */
async function isAtWork(repository: string, args: readonly string[]): Promise<boolean> {
  const command = commandOf(args);
  if (args.includes('--no-lock') || command === 'unlock') {
    return true;
  }
  if (command === 'forget') {
    const listed = await readdir(join(repository, 'snapshots'));
    return !args.some((word) => listed.includes(word));
  }
  return (await locksIn(repository)).length > 0;
}

/** restic gets its input and the order to end as if nobody stood between. */
const script = (port: number, restic: string): string => `#!/bin/bash
exec 4<>/dev/tcp/127.0.0.1/${port} || exit 97
exec 3<&0
echo "begins $*" >&4
read -r _ <&4 || exit 98
'${restic}' "$@" <&3 3<&- 4>&- &
child=$!
exec 3<&- </dev/null
trap 'kill -TERM $child' TERM
echo works >&4
wait $child
code=$?
while kill -0 $child 2>/dev/null; do
  wait $child
  code=$?
done
echo ended >&4
read -r _ <&4 || exit 99
exit $code
`;
