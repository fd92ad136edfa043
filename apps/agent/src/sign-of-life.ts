import type { Config } from '#libs/config';
import type { AcmeBudget, EngineFigures } from '#libs/contracts';
import { EngineEntity, type Database } from '#libs/db';
import type { EngineInfo } from '#libs/engine';
import { engineCapacity } from './capacity.js';
import type { AgentFigures } from './metrics.js';
import { reconcileLagSeconds } from './watch/reconcile-lag.js';

interface SignDeps {
  config: Config<'agent'>;
  dataSource: Database;
  info: EngineInfo;
  now: () => Date;
}

export interface Said extends Omit<AgentFigures, 'active' | 'room'> {
  /** What is left of what may be ordered; null where no authority is asked. */
  budget: () => Promise<AcmeBudget | null>;
}

/** Says on the engine's row that its agent lives and what the engine has. */
export async function signOfLife({ config, dataSource, info, now }: SignDeps): Promise<void> {
  const capacity = await engineCapacity(info, config);
  const at = now();
  await dataSource
    .createQueryBuilder()
    .insert()
    .into(EngineEntity)
    .values({ id: config.ENGINE_ID, kind: 'docker', capacity, createdAt: at, seenAt: at })
    .orUpdate(['capacity', 'seen_at'], ['id'])
    .execute();
}

/** Writes beside it what the agent itself has seen. Apart, since what cannot be read of it is no lack of life. */
export async function tellFigures(
  { config, dataSource, now }: Pick<SignDeps, 'dataSource' | 'now'> & { config: Pick<Config<'agent'>, 'ENGINE_ID'> },
  said: Said,
): Promise<void> {
  const { proxy, pass, passedAt, routeLagMs, budget } = said;
  const { routes, repairs } = proxy;
  const at = now();
  const engineId = config.ENGINE_ID;
  const figures: EngineFigures = {
    at: at.toISOString(),
    pass: pass && { ...pass, at: pass.at.toISOString() },
    reconcileLagSeconds: await reconcileLagSeconds(dataSource, { engineId, passedAt, now: at }),
    routes: routes && { ...routes, at: routes.at.toISOString() },
    proxyRepairs: { files: repairs.file, restarts: repairs.restart },
    routeLagMs,
    acme: await budget(),
  };
  await dataSource.manager.update(EngineEntity, { id: engineId }, { figures });
}
