import { DomainError } from '#libs/contracts';
import { MASTER_KEY, masterKeyOf, NEXT_MASTER_KEY, PLATFORM, type MasterKeys } from '#libs/keys';
import type { PsqlSession } from '../psql.js';

/** A master key that data keys in a loaded database are under. */
export interface SealedUnder {
  masterKey: string;
  /** Whether the platform's own data key is, which nothing opens without. */
  platforms: boolean;
  /** How one of them fared: `missing` where that master key was not given. */
  opens: 'yes' | 'no' | 'missing';
}

/**
 * Every master key that data keys are under, each tried on one of them: the platform's own where that is under it. While
 * a rotation goes on these are two, and a stack left behind by an earlier one may be under a third.
 */
export async function sealedUnder(session: PsqlSession, masters: MasterKeys): Promise<SealedUnder[]> {
  const rows = await session.query(
    `select distinct on (master_key)
       master_key || ' ' || owner || ' ' || translate(encode(wrapped, 'base64'), E'\\n', '')
       from public.data_keys order by master_key, owner <> '${PLATFORM}', owner`,
  );
  return rows.map((row) => {
    const [masterKey = '', owner = '', wrapped = ''] = row.split(' ');
    return { masterKey, platforms: owner === PLATFORM, opens: opened(masters, { masterKey, owner, wrapped }) };
  });
}

function opened(
  masters: MasterKeys,
  { masterKey, owner, wrapped }: Record<'masterKey' | 'owner' | 'wrapped', string>,
): SealedUnder['opens'] {
  const master = masterKeyOf(masters, masterKey);
  if (master === null) {
    return 'missing';
  }
  try {
    master.unwrap(owner, Buffer.from(wrapped, 'base64'));
    return 'yes';
  } catch {
    // That it does not open is the answer.
    return 'no';
  }
}

/**
 * Throws CONFIG_INVALID, with all of them, where what is sealed is under master keys that were not given; `without` names
 * those whose stacks are given up.
 */
export function requireMasterKeys(ids: readonly string[], masters: MasterKeys, without: readonly string[] = []): void {
  const missing = ids.filter((id) => masterKeyOf(masters, id) === null && !without.includes(id));
  if (missing.length === 0) {
    return;
  }
  const { current, next } = masters;
  throw new DomainError('CONFIG_INVALID', {
    message: `What is sealed in this backup is under the master key ${missing.join(' and under ')}, and only ${current.id}${next === null ? '' : ` and ${next.id}`} was given: it is of before a rotation, or of while one went on. Give the key of that time too, as ${NEXT_MASTER_KEY} in .env, or choose a newer backup. Where it is lost: ${missing.map((id) => `--without=${id}`).join(' ')} gives up the secrets of the stacks under it.`,
    details: { missing },
  });
}

/** Throws CONFIG_INVALID where the platform's secrets do not open, or other stacks' are not given up. */
export function requireOpens(under: readonly SealedUnder[], masters: MasterKeys, without: readonly string[]): void {
  const platforms = under.find((one) => one.platforms);
  requireMasterKeys(
    under.map(({ masterKey }) => masterKey),
    masters,
    without.filter((id) => id !== platforms?.masterKey),
  );
  if (platforms?.opens === 'no') {
    throw new DomainError('CONFIG_INVALID', {
      message: `The platform's data key in this backup does not open with the master key ${platforms.masterKey}: choose another backup, or check ${MASTER_KEY}.`,
    });
  }
}
