import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Finding } from '#libs/jobs';
import { beat } from './heartbeat.js';

let server: Server;
let url: string;
let status = 200;
const asked: string[] = [];
const finding = (severity: Finding['severity']): Finding => ({
  key: 'duty/schedule',
  code: 'SCHEDULE_MISSED',
  severity,
  message: 'not done',
  params: {},
});
const duties = (...found: Finding[]) => ({ known: true, findings: () => found });

beforeAll(async () => {
  server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    response.writeHead(status, { location: '/elsewhere' }).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/secret-place`;
});
beforeEach(() => {
  status = 200;
  asked.length = 0;
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

it('FM-11 a watchdog outside hears while all recurring work is done, and nothing once some is not', async () => {
  expect(await beat(url, duties())).toBe(true);
  expect(await beat(url, duties(finding('warning')))).toBe(true);
  expect(asked).toEqual(['POST /secret-place', 'POST /secret-place']);
  expect(await beat(url, duties(finding('critical')))).toBe(false);
  expect(await beat(url, { ...duties(), known: false })).toBe(false);
  expect(asked).toHaveLength(2);
});

it.each([500, 302])('a watchdog that answers %i is an error without its address', async (answer) => {
  status = answer;
  const error: unknown = await beat(url, duties()).catch((caught: unknown) => caught);
  expect(error).toMatchObject({ code: 'UNAVAILABLE' });
  expect(JSON.stringify(error) + String(error)).not.toContain('secret-place');
  expect(asked).toHaveLength(1);
});
