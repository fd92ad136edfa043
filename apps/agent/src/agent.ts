import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Config } from '#libs/config';
import { assertPlatform, createDataSource, EngineEntity, type Database } from '#libs/db';
import type { Engine, EngineStreams, EngineWatch } from '#libs/engine';
import type { EngineLease, Probes } from '#libs/orchestrator';
import type { Logger } from '#libs/telemetry';
import { engineCapacity } from './capacity.js';
import { lead, type Leading } from './leading.js';
import { reviveOwn } from './own-containers.js';
import { startPrivateServer, type Health } from './private-server.js';
import type { ReconcileTimes } from './reconcile-times.js';
import { keepLease, StandBy } from './stand-by.js';
import { AgentMetrics } from './watch/agent-metrics.js';
import { logAnswer } from './watch/log-answer.js';

export interface AgentParts {
  config: Config<'agent'>;
  engine: Engine;
  /** Into and out of its containers. */
  streams: EngineStreams;
  logger: Logger;
  /** How stacks are looked at; over HTTP by address and through the proxy unless told. */
  probes?: Probes;
  /** The reconciler's pace, where it is to be another than in production. */
  reconcile?: ReconcileTimes;
  /** Looks at what runs; without it (an engine in memory, which has no processes) nothing is measured. */
  watch?: EngineWatch;
  /**
   * Told when this process may act no more and cannot begin anew: another agent has the engine, or what it does as the
   * active one could not be put together. It must end.
   */
  lost: (error: unknown) => void;
}

const ENGINE_MS = 20_000;
const NOT_LOOKED_AT = { mismatches: 0, repairs: { file: 0, restart: 0 }, routes: null };

/**
 * Puts the agent together. Resolves once it works, or stands by because another agent has the engine; then it takes over
 * as soon as that one is gone. The returned function stops it and leaves every operation to be resumed.
 */
export async function startAgent({
  config,
  engine,
  streams,
  logger,
  probes,
  reconcile,
  watch,
  lost,
}: AgentParts): Promise<() => Promise<void>> {
  const stopping = new AbortController();
  const owner = `${config.ENGINE_ID}@${hostname()}#${randomUUID()}`;
  const dataSource = await opened(config, engine, logger);
  await assertPlatform(dataSource, config.PLATFORM_ID);
  const info = await engine.info({ deadlineMs: ENGINE_MS });
  const now = new Date();
  const capacity = await engineCapacity(info, config);
  await dataSource
    .createQueryBuilder()
    .insert()
    .into(EngineEntity)
    .values({ id: config.ENGINE_ID, kind: 'docker', capacity, createdAt: now, seenAt: now })
    .orIgnore()
    .execute();
  const settings = { owner, seconds: config.LEASE_SECONDS };
  const standBy = new StandBy({ database: dataSource, engineId: config.ENGINE_ID, lease: settings, logger });
  let held: EngineLease | undefined;
  let leading: Leading | undefined;
  const metrics = new AgentMetrics({
    dataSource,
    engineId: config.ENGINE_ID,
    usage: () => leading?.usage() ?? null,
    tasks: () => leading?.tasks() ?? {},
    agent: () => ({
      active: leading !== undefined,
      proxy: leading?.figures.proxy ?? NOT_LOOKED_AT,
      routeLagMs: leading?.figures.routeLagMs ?? null,
      passedAt: leading?.figures.passedAt ?? null,
      pass: leading?.figures.pass ?? null,
      room: leading?.figures.room ?? [],
    }),
    now: () => new Date(),
  });
  const server = await startPrivateServer(
    config.AGENT_SOCKET,
    health,
    () => metrics.read(),
    watch && logAnswer(watch, config.PLATFORM_ID),
  );
  const first = await standBy.tryTake();
  const work = first ? takeOver(first) : standBy.take(stopping.signal).then(takeOver);
  if (first) {
    await work;
  } else {
    work.catch((error: unknown) => {
      if (!stopping.signal.aborted) {
        lost(error);
      }
    });
  }

  async function takeOver(lease: EngineLease): Promise<void> {
    held = lease;
    // Not awaited: it goes on for as long as this process does, and tells `lost` itself.
    void keepLease(lease, config.LEASE_SECONDS, { stop: stopping.signal, lost, logger });
    try {
      leading = await lead({
        config,
        dataSource,
        engine,
        streams,
        info,
        lease,
        owner,
        logger,
        probes,
        reconcile,
        watch,
        routeWasLive: (milliseconds) => metrics.routeWasLive(milliseconds),
      });
    } catch (error) {
      // The next try, here or elsewhere, need not wait for its end.
      await lease.release();
      throw error;
    }
  }

  /** Ok only while a stack could be made here now, or another agent is seen to work. */
  async function health(): Promise<Health> {
    const checks = leading ? await leading.checks() : { engine: standBy.says() };
    return { ok: Object.values(checks).every((says) => says === 'ok'), checks };
  }

  return async () => {
    stopping.abort(new Error('the agent is stopping'));
    server.close();
    // One that is being put together right now is stopped once it stands.
    await work.catch(() => undefined);
    await leading?.stop();
    await standBy.leave();
    // Last: until here, what was begun is ours.
    await held?.release();
    await dataSource.destroy();
  };
}

/**
 * The portal's database. While it is away no lease can be asked for, and it may be away because nobody but us can bring
 * its container up; that changes nothing of any stack. The next life of this process finds it.
 */
async function opened(config: Config<'agent'>, engine: Engine, logger: Logger): Promise<Database> {
  try {
    return await createDataSource(config.DATABASE_URL, { applicationName: 'aviary-agent' }).initialize();
  } catch (error) {
    await reviveOwn(engine, config.PLATFORM_ID, logger).catch((cause: unknown) =>
      logger.error({ err: cause }, 'the platform’s own containers could not be looked after'),
    );
    throw error;
  }
}
