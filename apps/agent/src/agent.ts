import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { FenceGuard, replacedText } from '#libs/backup';
import type { Config } from '#libs/config';
import { DomainError } from '#libs/contracts';
import { assertPlatform, createDataSource, EngineEntity, type Database } from '#libs/db';
import type { Engine, EngineStreams, EngineWatch } from '#libs/engine';
import { HOLDER_SECONDS, startKeys } from '#libs/keys';
import type { EngineLease, Probes } from '#libs/orchestrator';
import type { Logger } from '#libs/telemetry';
import { engineCapacity } from './capacity.js';
import { countsAnswer } from './counts-answer.js';
import { exportAnswer } from './export-answer.js';
import { imagesAnswer } from './images-answer.js';
import { KeyKeeper, masterKeysOf } from './key-keeper.js';
import { lead, type Leading } from './leading.js';
import { passwordAnswer } from './password-answer.js';
import { portalRepository } from './portal-backups.js';
import { reviveOwn } from './own-containers.js';
import { startPrivateServer, type Health } from './private-server.js';
import type { ReconcileTimes } from './reconcile-times.js';
import { fencedKeys, ReplacedHost } from './replaced-host.js';
import { keepLease, StandBy } from './stand-by.js';
import { Timers } from './timers.js';
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
  /** How often it is asked whether this host was replaced, where that is to be another than in production. */
  fenceSeconds?: number | undefined;
  /** Looks at what runs; without it (an engine in memory, which has no processes) nothing is measured. */
  watch?: EngineWatch;
  /**
   * Told when this process may act no more and cannot begin anew: another agent has the engine, or what it does as the
   * active one could not be put together. It must end.
   */
  lost: (error: unknown) => void;
  /** Told after each batch of data keys that was brought under a master key; tests end the process there. */
  keysMoved?: (() => void) | undefined;
}

const ENGINE_MS = 20_000;
const FENCE_SECONDS = 60;
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
  fenceSeconds = FENCE_SECONDS,
  watch,
  lost,
  keysMoved,
}: AgentParts): Promise<() => Promise<void>> {
  const stopping = new AbortController();
  const owner = `${config.ENGINE_ID}@${hostname()}#${randomUUID()}`;
  const masters = await masterKeysOf(config);
  const dataSource = await opened(config, engine, logger);
  await assertPlatform(dataSource, config.PLATFORM_ID);
  await startKeys(dataSource, masters, new Date());
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
  const portal = portalRepository(config, masters);
  const clock = (): Date => new Date();
  const fence = new FenceGuard({
    repository: portal,
    database: dataSource,
    now: clock,
    logger,
    freshMs: fenceSeconds * 1_000,
  });
  const keeper = new KeyKeeper({
    database: dataSource,
    masters,
    owner,
    engineId: config.ENGINE_ID,
    logger,
    now: clock,
    repository: fencedKeys(portal, fence),
    ...(keysMoved ? { committed: keysMoved, batch: 1 } : {}),
  });
  const timers = new Timers(stopping.signal, logger);
  const settings = { owner, seconds: config.LEASE_SECONDS };
  const standBy = new StandBy({ database: dataSource, engineId: config.ENGINE_ID, lease: settings, logger });
  let held: EngineLease | undefined;
  let leading: Leading | undefined;
  const replaced = new AbortController();
  const replacedHost = new ReplacedHost({
    guard: fence,
    dataSource,
    engine,
    platformId: config.PLATFORM_ID,
    engineId: config.ENGINE_ID,
    leadNoMore,
    logger,
    now: clock,
  });
  const metrics = new AgentMetrics({
    dataSource,
    engineId: config.ENGINE_ID,
    usage: () => leading?.usage() ?? null,
    tasks: () => ({ ...timers.states(), ...leading?.tasks() }),
    agent: () => ({
      active: leading !== undefined,
      proxy: leading?.figures.proxy ?? NOT_LOOKED_AT,
      routeLagMs: leading?.figures.routeLagMs ?? null,
      passedAt: leading?.figures.passedAt ?? null,
      pass: leading?.figures.pass ?? null,
      room: leading?.figures.room ?? [],
    }),
    now: clock,
  });
  const server = await startPrivateServer(config.AGENT_SOCKET, health, () => metrics.read(), {
    logs: watch && logAnswer(watch, config.PLATFORM_ID),
    exports: exportAnswer(() => led().exports, logger),
    passwords: passwordAnswer(() => led().passwords),
    images: imagesAnswer(engine),
    counts: countsAnswer(() => led().counts),
  });
  timers.every('key-holder', HOLDER_SECONDS, () => keeper.say());
  timers.every('keys', HOLDER_SECONDS, () => keeper.turn(leading !== undefined, stopping.signal));
  const isReplaced = await fence.look();
  const first = isReplaced ? null : await standBy.tryTake();
  const waits = AbortSignal.any([stopping.signal, replaced.signal]);
  const work = first ? takeOver(first) : isReplaced ? Promise.resolve() : standBy.take(waits).then(takeOver);
  timers.every('fence', fenceSeconds, () => replacedHost.turn());
  if (first) {
    await work;
  } else {
    work.catch((error: unknown) => {
      if (!waits.aborted) {
        lost(error);
      }
    });
  }

  async function takeOver(lease: EngineLease): Promise<void> {
    held = lease;
    // The one before may have given its lease up for that.
    if (await fence.look()) {
      await lease.release();
      return;
    }
    // Not awaited: it goes on for as long as this process does, and tells `lost` itself.
    void keepLease(lease, config.LEASE_SECONDS, { stop: waits, lost, logger });
    try {
      // The master key may have been rotated while this agent stood by.
      const keys = await startKeys(dataSource, masters, new Date());
      leading = await lead({
        config,
        dataSource,
        engine,
        streams,
        info,
        lease,
        owner,
        keys,
        portal,
        fence,
        logger,
        probes,
        reconcile,
        watch,
        routeWasLive: (milliseconds) => metrics.routeWasLive(milliseconds),
        lost,
      });
    } catch (error) {
      // The next try, here or elsewhere, need not wait for its end.
      await lease.release();
      throw error;
    }
  }

  /** The right to act goes at once, so that nothing starts again what is stopped meanwhile. */
  async function leadNoMore(): Promise<void> {
    replaced.abort(new Error('this host was replaced by a recovery'));
    const [led, lease] = [leading, held];
    leading = held = undefined;
    const ends = await Promise.allSettled([lease?.release(), led?.stop()]);
    const failed = ends.find((end) => end.status === 'rejected');
    if (failed) {
      throw failed.reason;
    }
  }

  /** Only the active agent has the keys of stacks as they are now, and one whose host was replaced has none of their data. */
  function led(): Leading {
    if (!leading) {
      throw new DomainError('UNAVAILABLE', {
        message: 'The host’s agent is just taking over. Try again in a minute.',
      });
    }
    return leading;
  }

  /** Ok only while a stack could be made here now, or another agent is seen to work. */
  async function health(): Promise<Health> {
    if (fence.replaced) {
      return { ok: false, checks: { ...timers.failing(), fence: replacedText(fence.replaced) } };
    }
    const checks = { ...timers.failing(), ...(leading ? await leading.checks() : { engine: standBy.says() }) };
    return { ok: Object.values(checks).every((says) => says === 'ok'), checks };
  }

  return async () => {
    stopping.abort(new Error('the agent is stopping'));
    server.close();
    // One that is being put together right now is stopped once it stands.
    await work.catch(() => undefined);
    await leading?.stop();
    await timers.ended();
    await keeper
      .leave(dataSource)
      .catch((error: unknown) => logger.warn({ err: error }, 'not said that this agent ends'));
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
