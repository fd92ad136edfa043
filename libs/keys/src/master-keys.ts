import { DomainError } from '#libs/contracts';
import { masterKeySource, type MasterKey } from '#libs/crypto';

/** The variables a person sets; each also as `_FILE` and as `_COMMAND`. */
export const MASTER_KEY = 'AVIARY_MASTER_KEY';
export const NEXT_MASTER_KEY = 'AVIARY_NEXT_MASTER_KEY';

/** The master keys a process was given: the one, and while it is rotated the one to come. */
export interface MasterKeys {
  current: MasterKey;
  next: MasterKey | null;
}

export interface MasterKeyTexts {
  MASTER_KEY?: string | undefined;
  MASTER_KEY_COMMAND: string;
  NEXT_MASTER_KEY?: string | undefined;
  NEXT_MASTER_KEY_COMMAND: string;
}

/** Reads both, once. Throws CONFIG_INVALID where one is not what it must be, or the first is not there. */
export async function readMasterKeys(config: MasterKeyTexts, path: string): Promise<MasterKeys> {
  const source = masterKeySource({
    variable: MASTER_KEY,
    key: config.MASTER_KEY ?? '',
    command: config.MASTER_KEY_COMMAND,
    path,
  });
  const next = masterKeySource({
    variable: NEXT_MASTER_KEY,
    key: config.NEXT_MASTER_KEY ?? '',
    command: config.NEXT_MASTER_KEY_COMMAND,
    path,
  });
  if (source === null) {
    throw new DomainError('CONFIG_INVALID', {
      message: `There is no master key: set ${MASTER_KEY}, ${MASTER_KEY}_FILE or ${MASTER_KEY}_COMMAND.`,
    });
  }
  const current = await source.read();
  const other = next === null ? null : await next.read();
  return { current, next: other?.id === current.id ? null : other };
}

/** Of those given, the one with that id. */
export function masterKeyOf({ current, next }: MasterKeys, id: string): MasterKey | null {
  return [current, next].find((key) => key?.id === id) ?? null;
}
