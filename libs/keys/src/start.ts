import { DomainError } from '#libs/contracts';
import { newDataKey, type MasterKey } from '#libs/crypto';
import { DataKeyEntity, KeyRotationEntity, tx, type Database, type Tx } from '#libs/db';
import { IsNull } from 'typeorm';
import { DataKeys, PLATFORM } from './data-keys.js';
import { MASTER_KEY, masterKeyOf, NEXT_MASTER_KEY, type MasterKeys } from './master-keys.js';
import { readRecord, sealedRecords } from './sealed-records.js';

/** Of different stacks, so that what is damaged in a few of them says nothing about the key. */
const TRIED_RECORDS = 50;

const SAY = `${MASTER_KEY}, ${MASTER_KEY}_FILE or ${MASTER_KEY}_COMMAND`;

/**
 * The keys of a process that starts, proven on the platform's own data key, which is made where there is none yet.
 * Throws CONFIG_INVALID, with one sentence that says what to do, where they are not those the platform is sealed with.
 */
export async function startKeys(database: Database, masters: MasterKeys, now: Date): Promise<DataKeys> {
  await tx(database, async (db) => {
    const rotation = await db.findOneBy(KeyRotationEntity, { finishedAt: IsNull() });
    const lacking = rotation?.begunAt
      ? [rotation.fromKey, rotation.toKey].filter((id) => masterKeyOf(masters, id) === null)
      : [];
    if (rotation && lacking.length > 0) {
      throw refusal(
        `The rotation from the master key ${rotation.fromKey} to ${rotation.toKey} has not ended, and ${lacking.join(' and ')} was not given: set ${MASTER_KEY} to the first and ${NEXT_MASTER_KEY} to the second until it has.`,
      );
    }
    prove(masters, (await db.findOneBy(DataKeyEntity, { owner: PLATFORM })) ?? (await first(db, masters, now)));
  });
  return new DataKeys(masters);
}

function prove(masters: MasterKeys, { masterKey, wrapped }: DataKeyEntity): void {
  const master = masterKeyOf(masters, masterKey);
  if (master === null) {
    throw refusal(
      `The master key ${masters.current.id} is not the one this platform is sealed with, which is ${masterKey}: set that one as ${SAY}.`,
    );
  }
  try {
    master.unwrap(PLATFORM, wrapped);
  } catch (cause) {
    throw refusal(
      `The platform’s data key in the database is damaged: bring back a copy of the database (table data_keys).`,
      cause,
    );
  }
}

/**
 * Nothing proves the key but what was sealed under it before there were data keys, and the data keys of stacks, should
 * the platform's own be lost.
 */
async function first(db: Tx, masters: MasterKeys, now: Date): Promise<DataKeyEntity> {
  const { current } = masters;
  const records = await sealedRecords(db, TRIED_RECORDS);
  const dataKeys = await db.find(DataKeyEntity, { order: { owner: 'ASC' }, take: TRIED_RECORDS });
  const opened =
    records.some((record) => readRecord(current, record) !== null) || dataKeys.some((row) => opens(current, row));
  if (records.length + dataKeys.length > 0 && !opened) {
    throw refusal(
      `The master key ${current.id} does not open what this platform has sealed: set the one of your copy of .env as ${SAY}.`,
    );
  }
  await db
    .createQueryBuilder()
    .insert()
    .into(DataKeyEntity)
    .values({
      owner: PLATFORM,
      tenantId: null,
      masterKey: current.id,
      wrapped: current.wrap(PLATFORM, newDataKey()),
      createdAt: now,
      wrappedAt: now,
    })
    .orIgnore()
    .execute();
  return db.findOneByOrFail(DataKeyEntity, { owner: PLATFORM });
}

function opens(master: MasterKey, { owner, wrapped }: DataKeyEntity): boolean {
  try {
    master.unwrap(owner, wrapped);
    return true;
  } catch {
    // That it does not open is the answer.
    return false;
  }
}

function refusal(message: string, cause?: unknown): DomainError {
  return new DomainError('CONFIG_INVALID', { message, ...(cause === undefined ? {} : { cause }) });
}
