import { randomUUID } from 'node:crypto';
import {
  acceptedSchema,
  backupAcceptedSchema,
  backupListSchema,
  fleetBackupsSchema,
  type Accepted,
  type BackupAccepted,
  type ErrorBody,
} from '#libs/contracts';
import { OperationEntity } from '#libs/db';
import { insertBackup } from '../support/backup-rows.js';
import { person, stackOf, testApi, type TestApi, type TestPerson } from '../support/api.js';

let t: TestApi;
let owner: TestPerson;
let operator: TestPerson;
beforeAll(async () => {
  t = await testApi();
  owner = await person(t);
  operator = await person(t, 'operator');
  await t.db.dataSource.query(`update plans set stacks = 1000`);
});
afterAll(() => t.close());

const path = (slug: string, rest: string): string => `/api/v1/stacks/${slug}/${rest}`;

/** A stack as its agent leaves it once it runs. */
async function running(): Promise<Accepted['stack']> {
  const { stack, operation } = await stackOf(t, owner);
  await finish(operation.id);
  await t.db.dataSource.query(`update tenants set observed = 'running', checked_at = now() where id = $1`, [stack.id]);
  return stack;
}

const finish = (operationId: string): Promise<unknown> =>
  t.db.dataSource.query(`update operations set state = 'done', finished_at = now() where id = $1`, [operationId]);

it('takes a backup for the owner and for an operator, once for one Idempotency-Key', async () => {
  const { slug, id } = await running();
  const key = randomUUID();
  const ask = () => t.http.post(path(slug, 'backups')).set(owner.auth).set('Idempotency-Key', key);
  const first = await ask().expect(202);
  const { operation } = backupAcceptedSchema.parse(first.body) as BackupAccepted;
  expect(operation).toMatchObject({ kind: 'backup', slug, requestedBy: owner.username });
  const again = await ask().expect(202);
  expect(again.body).toEqual(first.body);
  expect(await t.db.dataSource.manager.countBy(OperationEntity, { tenantId: id, kind: 'backup' })).toBe(1);
  const busy = await t.http.post(path(slug, 'backups')).set(operator.auth).expect(409);
  expect((busy.body as ErrorBody).code).toBe('TENANT_BUSY');
  await finish(operation.id);
  const theirs = await t.http.post(path(slug, 'backups')).set(operator.auth).expect(202);
  expect((theirs.body as BackupAccepted).operation.requestedBy).toBe(operator.username);
  // Nothing waits for it.
  await t.http.post(path(slug, 'stop')).set(owner.auth).expect(202);
});

it('lists backups and restores one when the stack is named', async () => {
  const stack = await running();
  const backup = await insertBackup(t.db.dataSource, stack, 'verified');
  const listed = await t.http.get(path(stack.slug, 'backups')).set(owner.auth).expect(200);
  expect(backupListSchema.parse(listed.body)).toMatchObject({ items: [{ id: backup }], open: null, problem: null });
  await t.http.get(path(stack.slug, 'backups?limit=500')).set(owner.auth).expect(400);
  const restore = (body: object) => t.http.post(path(stack.slug, 'restore')).set(owner.auth).send(body);
  for (const body of [{}, { backup }, { backup, confirm: 'uaaaaaa' }, { backup: 'x', confirm: stack.slug }]) {
    expect((await restore(body).expect(400)).body).toMatchObject({ code: 'VALIDATION_FAILED' });
  }
  await restore({ backup: randomUUID(), confirm: stack.slug }).expect(404);
  const stored = await insertBackup(t.db.dataSource, stack, 'stored');
  expect((await restore({ backup: stored, confirm: stack.slug }).expect(409)).body).toMatchObject({
    code: 'WRONG_STATE',
  });
  const accepted = await restore({ backup, confirm: stack.slug }).expect(202);
  expect(acceptedSchema.parse(accepted.body)).toMatchObject({
    stack: { slug: stack.slug, status: 'queued', backup: { failed: false } },
    operation: { kind: 'restore' },
  });
});

it('shows operators how old every stack’s backup is', async () => {
  const answer = await t.http.get('/api/v1/operator/backups').set(operator.auth).expect(200);
  const { items, counts } = fleetBackupsSchema.parse(answer.body);
  expect(items).toHaveLength(counts.stacks);
  expect(items[0]).toMatchObject({ verifiedUntil: null });
  await t.http.get('/api/v1/operator/backups').set(owner.auth).expect(403);
});

it('stands in the document of the API', async () => {
  const { body } = await t.http.get('/docs-json').expect(200);
  const { paths } = body as { paths: Record<string, Record<string, unknown>> };
  expect(Object.keys(paths['/api/v1/stacks/{slug}/backups'] ?? {}).toSorted()).toEqual(['get', 'post']);
  expect(Object.keys(paths['/api/v1/stacks/{slug}/restore'] ?? {})).toEqual(['post']);
  expect(Object.keys(paths['/api/v1/stacks/{slug}/backups/{id}/loss'] ?? {})).toEqual(['get']);
  expect(Object.keys(paths['/api/v1/operator/backups'] ?? {})).toEqual(['get']);
});
