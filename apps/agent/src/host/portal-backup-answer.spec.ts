import { portalBackupAnswer } from './portal-backup-answer.js';

const ID = '019f0000-0000-7000-8000-000000000001';
const document = (data: object | null, error: object | null): string =>
  `${JSON.stringify({ schema: 'aviary/portal-backup/1', ok: error === null, data, error, exit: error === null ? 0 : 1 })}\n`;

it('is the backup that was asked for, and none that does not count', () => {
  expect(portalBackupAnswer(document({ id: ID, state: 'verified', bytes: 5 }, null))).toEqual({
    verified: ID,
    why: null,
  });
  const message = 'The portal could not be backed up. BACKUP_FAILED: the disk is full';
  expect(portalBackupAnswer(document({ id: ID, state: 'failed' }, { message }))).toEqual({
    verified: null,
    why: message,
  });
  expect(portalBackupAnswer(document(null, { message: 'The portal’s database does not answer.' })).why).toBe(
    'The portal’s database does not answer.',
  );
});

it.each(['', 'no document', '{}', '{"data":{"id":"newest","state":"verified"},"error":null}'])(
  'says neither where the answer is %j',
  (said) => {
    expect(portalBackupAnswer(said)).toEqual({ verified: null, why: null });
  },
);
