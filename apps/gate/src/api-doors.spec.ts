import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ApiDoors } from './api-doors.js';

interface Door {
  url: string;
  asked: string[];
  close(): Promise<void>;
}

async function door(name: string, port = 0): Promise<Door> {
  const asked: string[] = [];
  const server: Server = createServer((request, response) => {
    asked.push(`${request.method ?? ''} ${request.url ?? ''}`);
    response.end(name);
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

const said = async (doors: ApiDoors): Promise<string> =>
  (await doors.fetch('/internal/redeem', { method: 'POST', signal: AbortSignal.timeout(5_000) })).text();

it('asks the one that takes connections, whichever that is, and each question once', async () => {
  const [one, two] = [await door('one'), await door('two')];
  const doors = new ApiDoors([one.url, two.url]);
  try {
    expect(await said(doors)).toBe('one');
    await one.close();
    expect(await said(doors)).toBe('two');
    const again = await door('one again', Number(new URL(one.url).port));
    try {
      // no reason to leave the one that answers
      expect(await said(doors)).toBe('two');
    } finally {
      await again.close();
    }
  } finally {
    await two.close();
  }
  expect([one.asked, two.asked]).toEqual([
    ['POST /internal/redeem'],
    ['POST /internal/redeem', 'POST /internal/redeem'],
  ]);
  await expect(said(doors)).rejects.toThrow();
});

it('with one there is nothing to choose', async () => {
  const only = await door('only');
  const doors = new ApiDoors([only.url]);
  expect(await said(doors)).toBe('only');
  await only.close();
  await expect(said(doors)).rejects.toThrow();
});
