import { once } from 'node:events';
import { createServer } from 'node:net';

/** Below what the kernel gives to outgoing connections and to who asks for any port, and above the well-known ones. */
const FIRST = 12_000;
const COUNT = 20_000;
/** Test files run beside each other in processes of their own: each begins elsewhere. */
let next = Math.floor(Math.random() * COUNT);

/**
 * A port of loopback on which nobody listens, and which nobody is given a second time soon: a port that the kernel
 * chose and that was let go again may be its next choice too.
 */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < COUNT; tries += 1) {
    const port = FIRST + next;
    next = (next + 1) % COUNT;
    if (await isFree(port)) {
      return port;
    }
  }
  throw new Error('no port of loopback is free');
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  server.listen({ port, host: '127.0.0.1', exclusive: true });
  try {
    await once(server, 'listening');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') {
      return false;
    }
    throw error;
  }
  server.close();
  await once(server, 'close');
  return true;
}
