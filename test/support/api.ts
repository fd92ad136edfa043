import { randomBytes, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { pino } from 'pino';
import request from 'supertest';
import type TestAgent from 'supertest/lib/agent.js';
import { parse } from 'yaml';
import { Passwords } from '#libs/accounts';
import { loadConfig } from '#libs/config';
import type { Access, Accepted, Register } from '#libs/contracts';
import { EngineEntity, ReleaseEntity, type Database } from '#libs/db';
import { parseTemplate } from '#libs/tenants';
import { bootApi, type Api } from '../../apps/api/src/boot.js';
import type { ServiceOptions } from '../../apps/api/src/services.js';
import { testDatabase, type TestDatabase } from './postgres.js';

export const ORIGIN = 'https://aviary.localhost';

export interface TestApi {
  api: Api;
  db: TestDatabase;
  /** Address of the public listener, for what supertest cannot do (streams). */
  url: string;
  /** Requests to the public listener, or to the private one. */
  http: TestAgent;
  internal: TestAgent;
  logs: string[];
  close(): Promise<void>;
}

/**
 * The production modules on a fresh real database, or on one of a test that has stacks in it already and closes it
 * itself, with the process's own settings as tests need them.
 */
export async function testApi(
  env: Record<string, string> = {},
  { database, ...options }: Omit<ServiceOptions, 'logger'> & { database?: TestDatabase } = {},
): Promise<TestApi> {
  const db = database ?? (await testDatabase());
  const closeDatabase = async (): Promise<void> => (database ? undefined : db.close());
  if (!database) {
    await seedEngine(db.dataSource);
  }
  const config = loadConfig('api', {
    AVIARY_ENV: 'test',
    AVIARY_PLATFORM_ID: db.platformId,
    AVIARY_DATABASE_URL: db.url,
    AVIARY_SIGN_ON_SEED: randomBytes(32).toString('base64'),
    AVIARY_WEB_DIR: '/nonexistent',
    ...env,
  });
  const logs: string[] = [];
  const logger = pino({ level: 'debug' }, { write: (line: string) => void logs.push(line) });
  const api = await bootApi(config, { logger, passwords: new Passwords(4), ...options }).catch(
    async (error: unknown) => {
      await closeDatabase();
      throw error;
    },
  );
  await api.publicApp.listen(0, '127.0.0.1');
  await api.privateApp.listen(0, '127.0.0.1');
  return {
    api,
    db,
    url: await api.publicApp.getUrl(),
    http: request(api.publicApp.getHttpServer()),
    internal: request(api.privateApp.getHttpServer()),
    logs,
    close: async () => {
      await api.close();
      await closeDatabase();
    },
  };
}

/** What the agent writes when it starts: its engine, and the release of the template that ships with the platform. */
async function seedEngine(database: Database): Promise<void> {
  const now = new Date();
  const text = readFileSync('tenant-template/standard/compose.yml', 'utf8');
  const images = Object.fromEntries(['POSTGRES', 'REDIS', 'RUNTIME'].map((name) => [`AVIARY_IMAGE_${name}`, 'x:1']));
  await database.getRepository(EngineEntity).insert({
    id: 'local',
    kind: 'docker',
    // room for whatever a test makes
    capacity: { memoryMb: 1_000_000, cpus: 1_000 },
    createdAt: now,
    seenAt: now,
  });
  await database.getRepository(ReleaseEntity).insert({
    id: 'standard@1.0.0+00000000',
    template: 'standard',
    version: '1.0.0',
    definition: parseTemplate(parse(text), images),
    images: {},
    state: 'stable',
    createdAt: now,
  });
}

export interface TestPerson {
  id: string;
  username: string;
  email: string;
  password: string;
  accessToken: string;
  /** The refresh cookie as the browser sends it. */
  cookie: string;
  /** Headers of a signed-in request. */
  auth: { Authorization: string };
}

export async function registered(t: TestApi): Promise<Register> {
  const username = `p${randomBytes(5).toString('hex')}`;
  const disclaimer = await t.http.get('/api/v1/auth/disclaimer').expect(200);
  const body: Register = {
    email: `${username}@example.org`,
    username,
    password: randomUUID(),
    disclaimerVersion: (disclaimer.body as { version: string }).version,
  };
  await t.http.post('/api/v1/auth/register').send(body).expect(201);
  return body;
}

/** The token of the newest mail to that address. */
export async function mailedToken(t: TestApi, email: string): Promise<string> {
  const [row]: { text: string }[] = await t.db.dataSource.query(
    'select text from outbox_mails where recipient = $1 order by id desc limit 1',
    [email],
  );
  const token = /[A-Za-z0-9_-]{43}/.exec(row?.text ?? '')?.[0];
  if (!token) {
    throw new Error(`No mail with a link to ${email}`);
  }
  return token;
}

export function refreshCookie(response: { headers: Record<string, unknown> }): string {
  const set = response.headers['set-cookie'] as string[] | undefined;
  return set?.map((cookie) => cookie.split(';')[0] ?? '').find((cookie) => cookie.includes('refresh=')) ?? '';
}

/** Somebody who registered, followed the link and signed in, all by the API. */
export async function person(t: TestApi, role: 'subscriber' | 'operator' = 'subscriber'): Promise<TestPerson> {
  const { email, username, password } = await registered(t);
  await t.http
    .post('/api/v1/auth/verify')
    .send({ token: await mailedToken(t, email) })
    .expect(200);
  if (role === 'operator') {
    await t.db.dataSource.query(`update accounts set role = 'operator' where email = $1`, [email]);
  }
  const answer = await t.http.post('/api/v1/auth/login').send({ identifier: email, password }).expect(200);
  const { accessToken, me } = answer.body as Access;
  return {
    id: me.id,
    username,
    email,
    password,
    accessToken,
    cookie: refreshCookie(answer),
    auth: { Authorization: `Bearer ${accessToken}` },
  };
}

export async function stackOf(t: TestApi, owner: TestPerson): Promise<Accepted> {
  const answer = await t.http.post('/api/v1/stacks').set(owner.auth).send({}).expect(202);
  return answer.body as Accepted;
}
