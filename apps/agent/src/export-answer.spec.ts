import { once } from 'node:events';
import { createServer, request, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { pino } from 'pino';
import { waitFor } from '#libs/async';
import { exportAnswer } from './export-answer.js';

/** More than the buffers of a connection hold. */
const CHUNKS = 2_000;
const CHUNK = Buffer.alloc(65_536);

let server: Server;
let logs: string[];
let read: Readable;

afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
});

/** What an api that asked for an archive gets; it takes nothing of it by itself. */
async function answered(times: { deadlineMs: number; stalledMs: number }): Promise<IncomingMessage> {
  logs = [];
  read = Readable.from(Array.from({ length: CHUNKS }, () => CHUNK));
  const answer = exportAnswer(
    () => ({ start: () => Promise.resolve({ stream: read, bytes: CHUNKS * CHUNK.length }) }),
    pino({}, { write: (line: string) => void logs.push(line) }),
    times,
  );
  server = createServer((asked, response) => void answer(asked, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const asked = request({ port: (server.address() as AddressInfo).port, method: 'POST' });
  asked.end(JSON.stringify({ export: '01890000-0000-7000-8000-000000000000', passphrase: 'a long passphrase' }));
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  return response;
}

it.each([
  ['takes nothing', { deadlineMs: 60_000, stalledMs: 50 }, 'reading on did not happen'],
  ['is never done', { deadlineMs: 50, stalledMs: 60_000 }, 'timeout'],
])('cuts off an api that %s, and reads no further for it', async (_how, times, why) => {
  const response = await answered(times);
  const cut = once(response.socket, 'close');
  await waitFor(() => (read.destroyed ? true : undefined), { what: 'the end of the reading', deadlineMs: 5_000 });
  expect(logs.join('\n')).toContain('broke off');
  expect(logs.join('\n')).toContain(why);
  response.on('error', () => undefined).resume();
  await cut;
  expect(response.complete).toBe(false);
});
