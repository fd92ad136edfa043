import { sealAudit, verifyAudit, appendAudit } from '#libs/audit';
import { AuditEntryEntity, createDataSource, newId, tx, type Database } from '#libs/db';
import { testDatabase, type TestDatabase } from '../support/postgres.js';

// Several test files and an engine may share two cores.
jest.setTimeout(60_000);

const now = (): Date => new Date();

describe('audit', () => {
  let db: TestDatabase;
  let owner: Database;

  beforeEach(async () => {
    db = await testDatabase();
    owner = await createDataSource(db.ownerUrl, { poolSize: 2 }).initialize();
  });
  afterEach(async () => {
    await owner.destroy();
    await db.close();
  });

  async function append(count: number): Promise<void> {
    for (let turn = 0; turn < count; turn += 1) {
      await tx(db.dataSource, (inTx) =>
        appendAudit(inTx, {
          actor: { kind: 'system', name: 'test' },
          action: `thing.change`,
          target: { kind: 'thing', id: String(turn) },
          before: { size: turn, password: 'not for the log' },
          after: { size: turn + 1, nested: { accessToken: 'nor this', z: 1, a: 2 } },
        }),
      );
    }
  }
  const entryAt = async (seq: number): Promise<string> => {
    const rows: { entry_id: string }[] = await owner.query('select entry_id from audit_seals where seq = $1', [seq]);
    return rows[0]?.entry_id ?? '';
  };

  it('seals what is there, once, also when many seal at the same time', async () => {
    await append(12);
    const results = await Promise.all(Array.from({ length: 4 }, () => sealAudit(db.dataSource, now)));
    expect(results.reduce((sum, result) => sum + result.sealed, 0)).toBe(12);
    await append(3);
    const report = await verifyAudit(db.dataSource);
    expect(report).toMatchObject({ ok: true, sealed: 12, head: { seq: 12 }, unsealed: { count: 3 } });
    expect(report.unsealed.oldestAt).toBeInstanceOf(Date);
    await sealAudit(db.dataSource, now);
    expect(await verifyAudit(db.dataSource)).toMatchObject({ ok: true, sealed: 15, unsealed: { count: 0 } });
  });

  it('keeps nothing of an action that was rolled back, and no secret of one that was not', async () => {
    const failing = tx(db.dataSource, async (inTx) => {
      await appendAudit(inTx, { actor: { kind: 'system', name: 't' }, action: 'x.y', target: { kind: 'x', id: '1' } });
      throw new Error('no');
    });
    await expect(failing).rejects.toThrow('no');
    await append(1);
    const entries = await db.dataSource.getRepository(AuditEntryEntity).find();
    expect(entries).toHaveLength(1);
    expect(JSON.stringify(entries)).not.toMatch(/not for the log|nor this/);
  });

  it('finds an edited entry', async () => {
    await append(5);
    await sealAudit(db.dataSource, now);
    const entryId = await entryAt(3);
    await owner.query(`update audit_entries set after = jsonb_set(after, '{size}', '99') where id = $1`, [entryId]);
    const report = await verifyAudit(db.dataSource);
    expect(report.faults).toEqual([{ kind: 'entry_edited', seq: 3, entryId }]);
  });

  it('finds a removed entry, and one removed together with its seal', async () => {
    await append(6);
    await sealAudit(db.dataSource, now);
    await owner.query('alter table audit_seals drop constraint fk_audit_seals_entry_id');
    const [second, fifth] = [await entryAt(2), await entryAt(5)];
    await owner.query('delete from audit_entries where id in ($1, $2)', [second, fifth]);
    await owner.query('delete from audit_seals where seq = 5');
    const report = await verifyAudit(db.dataSource);
    expect(report.faults).toEqual([
      { kind: 'entry_missing', seq: 2, entryId: second },
      { kind: 'seal_missing', seq: 5 },
    ]);
  });

  it('finds a gap that was closed by renumbering', async () => {
    await append(6);
    await sealAudit(db.dataSource, now);
    await owner.query('delete from audit_seals where seq = 3');
    await owner.query('update audit_seals set seq = seq - 1 where seq > 3');
    const report = await verifyAudit(db.dataSource);
    expect(report.ok).toBe(false);
    expect(report.faults[0]).toEqual({ kind: 'chain_broken', seq: 3 });
  });

  it('finds two entries that changed places', async () => {
    await append(4);
    await sealAudit(db.dataSource, now);
    await owner.query('alter table audit_seals drop constraint uq_audit_seals_entry_id');
    await owner.query(
      `update audit_seals a set entry_id = b.entry_id, entry_hash = b.entry_hash from audit_seals b
        where (a.seq, b.seq) in ((2, 3), (3, 2))`,
    );
    const report = await verifyAudit(db.dataSource);
    expect(report.faults.map((fault) => fault.kind)).toEqual(['chain_broken', 'chain_broken']);
  });

  it('cannot be changed by the role the processes use', async () => {
    await append(1);
    await sealAudit(db.dataSource, now);
    for (const statement of [
      `update audit_entries set actor_name = 'somebody else'`,
      'delete from audit_entries',
      'truncate audit_entries cascade',
      `update audit_seals set hash = ''`,
      'delete from audit_seals',
      `update platforms set id = '${newId()}'`,
      'drop table audit_seals',
    ]) {
      await expect(db.dataSource.query(statement)).rejects.toThrow(/permission denied|must be owner/);
    }
  });
});
