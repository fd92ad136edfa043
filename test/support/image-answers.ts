import type { Server } from 'node:http';
import type { Engine } from '#libs/engine';
import { imagesAnswer } from '../../apps/agent/src/images-answer.js';
import { startPrivateServer } from '../../apps/agent/src/private-server.js';

/** The part of an agent that says what images its engine has, on that socket. */
export async function answeringImages(
  socket: string,
  engine: Pick<Engine, 'imageId' | 'imageEnvironment'>,
): Promise<() => void> {
  const server: Server = await startPrivateServer(
    socket,
    () => Promise.resolve({ ok: true, checks: {} }),
    () => Promise.resolve(''),
    { images: imagesAnswer(engine) },
  );
  return () => {
    server.closeAllConnections();
    server.close();
  };
}
