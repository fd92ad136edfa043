import { link, mkdtemp, rename, rm, stat } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startPrivateServer } from './private-server.js';

let base: string;
let socket: string;
const servers: Server[] = [];

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'aviary-private-'));
  socket = join(base, 'agent.sock');
});
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
  await rm(base, { recursive: true, force: true });
});

const start = async (): Promise<Server> => {
  const server = await startPrivateServer(
    socket,
    () => Promise.resolve({ ok: true, checks: {} }),
    () => Promise.resolve('up 1\n'),
  );
  servers.push(server);
  return server;
};

it('leaves the socket to the agent that answers on it, and tells what to set', async () => {
  await start();
  const { ino } = await stat(socket);
  await expect(start()).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: expect.stringContaining('AVIARY_AGENT_SOCKET') as string,
  });
  expect((await stat(socket)).ino).toBe(ino);
});

it('takes the place of one that a killed agent left', async () => {
  const dead = createServer();
  await new Promise<void>((resolve) => dead.listen(socket, resolve));
  // As SIGKILL leaves it: the file stays, and nobody listens.
  const left = join(base, 'left.sock');
  await link(socket, left);
  await new Promise((resolve) => dead.close(resolve));
  await rename(left, socket);
  await start();
  expect((await stat(socket)).mode & 0o777).toBe(0o600);
});
