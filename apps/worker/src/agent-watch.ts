import { EngineEntity, type Database } from '#libs/db';
import { settleAlarms, type Finding } from '#libs/jobs';
import type { Logger } from '#libs/telemetry';

/**
 * An agent writes its sign of life every 10 s. One that is restarted stops within 30 s and starts in some 15, one that
 * takes over is there within 30 s of the other's death, and an engine starts one that ends again and again after pauses
 * of up to a minute: none of these is silent for this long.
 */
const SILENT_MS = 120_000;

interface WatchDeps {
  database: Database;
  logger: Pick<Logger, 'error' | 'info'>;
  now: () => Date;
  /** Milliseconds that never go back. */
  clock?: () => number;
}

/**
 * Raises an alarm for each engine whose agent gives no sign of life any more. How long that is so is counted by our own
 * looks, not by the time in the row: after a host was off, or the database away, every row is old, and the agents come
 * back beside us.
 */
export class AgentWatch {
  /** The newest sign of each engine's agent, and when it was first seen here. */
  private signs: ReadonlyMap<string, { sign: number; at: number; renewed: boolean }> = new Map();

  constructor(private readonly deps: WatchDeps) {}

  async turn(): Promise<void> {
    const { database, logger, now, clock = () => performance.now() } = this.deps;
    const before = this.signs;
    // Of the time until the next look that succeeds nothing is known.
    this.signs = new Map();
    const engines = await database.getRepository(EngineEntity).find({ order: { id: 'ASC' } });
    const at = clock();
    this.signs = new Map(
      engines.map(({ id, seenAt }) => {
        const known = before.get(id);
        const sign = seenAt.getTime();
        return [id, known?.sign === sign ? { ...known, renewed: false } : { sign, at, renewed: known !== undefined }];
      }),
    );
    const silentOnes = engines.filter(({ id }) => at - (this.signs.get(id)?.at ?? at) >= SILENT_MS);
    const findings = silentOnes.map(silent);
    // Not heard anew, and not for too long yet: an alarm that another life of a worker raised may still be true.
    const unsure = engines.filter(({ id }) => this.signs.get(id)?.renewed === false).map(({ id }) => keyOf(id));
    const { raised, ended } = await settleAlarms(database, 'agent', { findings, unsure }, now());
    raised.forEach(({ key, message }) => logger.error({ alarm: key }, message));
    ended.forEach((key) => logger.info({ alarm: key }, 'alarm over'));
  }
}

const keyOf = (engineId: string): string => `agent/${engineId}/silent`;

function silent({ id, seenAt }: EngineEntity): Finding {
  const last = `${seenAt.toISOString().slice(0, 16).replace('T', ' ')} UTC`;
  return {
    key: keyOf(id),
    code: 'AGENT_SILENT',
    severity: 'critical',
    message: `The agent of the host ${id} gave its last sign of life at ${last}. Stacks run on as they are, but nothing of them is made, changed, watched or repaired, and every order waits. Does it run, and does its container engine? See aviary doctor and the agent’s log.`,
    params: { engine: id, seenAt: seenAt.toISOString() },
  };
}
