import { join } from 'node:path';
import type { Config } from '#libs/config';
import type { Database } from '#libs/db';
import { forgetHolder, KeyWork, readMasterKeys, sayHolder, type KeyWorkDeps, type MasterKeys } from '#libs/keys';

type KeyConfig = Pick<
  Config<'agent'>,
  'MASTER_KEY' | 'MASTER_KEY_COMMAND' | 'NEXT_MASTER_KEY' | 'NEXT_MASTER_KEY_COMMAND' | 'DATA_DIR'
>;

/** The keys of this process. A command of a person's is looked for in the data folder's `bin` first. */
export function masterKeysOf(config: KeyConfig): Promise<MasterKeys> {
  const path = [join(config.DATA_DIR, 'bin'), '/usr/local/bin', '/usr/bin', '/bin'].join(':');
  return readMasterKeys(config, path);
}

interface KeeperDeps extends KeyWorkDeps {
  owner: string;
  engineId: string;
}

/** Says which master keys this agent has, and does what is asked for with them; the one must not wait for the other. */
export class KeyKeeper {
  private readonly work: KeyWork;

  constructor(private readonly deps: KeeperDeps) {
    this.work = new KeyWork(deps);
  }

  async say(): Promise<void> {
    await sayHolder(this.deps.database.manager, this.deps);
  }

  async turn(working: boolean, signal: AbortSignal): Promise<void> {
    if (working) {
      await this.work.turn(signal);
    }
  }

  /** At its end; where the database is away it is not heard of, which says the same. */
  async leave(database: Database): Promise<void> {
    await forgetHolder(database.manager, this.deps.owner);
  }
}
