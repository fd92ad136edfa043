import { mkdtemp, rm } from 'node:fs/promises';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { DomainError } from '#libs/contracts';
import { FakeEngine, type Engine } from '#libs/engine';
import { AgentPort } from '#libs/tenants';
import { imagesAnswer } from './images-answer.js';
import { startPrivateServer } from './private-server.js';

let home: string;
let server: Server;
let port: AgentPort;
const fake = new FakeEngine({ images: ['aviary/runtime:1.8.0'] });
fake.addImage('postgres:17', { PG_MAJOR: '17', PG_VERSION: '17.6-1.pgdg13+1' });
fake.addImage('postgres:odd', { PG_MAJOR: 'seventeen' });
const engine: Pick<Engine, 'imageId' | 'imageEnvironment'> = {
  imageId: (reference, bounds) =>
    reference === 'away:1' ? Promise.reject(new DomainError('ENGINE_UNREACHABLE')) : fake.imageId(reference, bounds),
  imageEnvironment: (reference, bounds) => fake.imageEnvironment(reference, bounds),
};
const soon = (): AbortSignal => AbortSignal.timeout(5_000);

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'aviary-images-'));
  const socket = join(home, 'agent.sock');
  port = new AgentPort(socket, 'local');
  const nothing = (): Promise<never> => Promise.reject(new Error('not asked here'));
  server = await startPrivateServer(socket, nothing, nothing, { images: imagesAnswer(engine) });
});
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await rm(home, { recursive: true, force: true });
});

it('says which image of the engine each reference is, and of which it has none', async () => {
  const id = await engine.imageId('aviary/runtime:1.8.0', { deadlineMs: 1_000 });
  expect(id).toMatch(/^sha256:/);
  const answer = await port.post('/images', { references: ['aviary/runtime:1.8.0', 'nowhere:1', String(id)] }, soon());
  expect(await json(answer)).toMatchObject({
    ids: { 'aviary/runtime:1.8.0': id, 'nowhere:1': null, [String(id)]: id },
  });
});

it('says which PostgreSQL an image has, where the image itself says so', async () => {
  const references = ['postgres:17', 'postgres:odd', 'aviary/runtime:1.8.0', 'nowhere:1'];
  expect(await json(await port.post('/images', { references }, soon()))).toMatchObject({
    databaseMajors: { 'postgres:17': 17, 'postgres:odd': null, 'aviary/runtime:1.8.0': null, 'nowhere:1': null },
  });
});

it.each([
  ['what is no reference', { references: ['-v /:/host'] }, 'VALIDATION_FAILED'],
  ['something else', { images: [] }, 'VALIDATION_FAILED'],
  ['too much', { references: ['a'.repeat(10_000)] }, 'BODY_TOO_LARGE'],
])('refuses %s', async (_what, body, code) => {
  await expect(port.post('/images', body, soon())).rejects.toMatchObject({ code });
});

it('tells that the engine gives no answer as what it is', async () => {
  await expect(port.post('/images', { references: ['away:1'] }, soon())).rejects.toMatchObject({
    code: 'ENGINE_UNREACHABLE',
  });
});
