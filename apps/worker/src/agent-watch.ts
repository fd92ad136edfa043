import { lateSeconds } from '#libs/contracts';
import { EngineEntity, type Database } from '#libs/db';
import { settleAlarms, type Finding } from '#libs/jobs';
import type { Logger } from '#libs/telemetry';
import { keptFence, ownFence } from '#libs/tenants';

/**
 * An agent writes its sign of life every 10 s. One that is restarted stops within 30 s and starts in some 15, one that
 * takes over is there within 30 s of the other's death, and an engine starts one that ends again and again after pauses
 * of up to a minute: none of these is silent for this long.
 */
const SILENT_MS = 120_000;
/** After its host was off every stack's look is old, and those due are looked at, hundreds of them within minutes. */
const LATE_MS = 300_000;

interface WatchDeps {
  database: Database;
  logger: Pick<Logger, 'error' | 'info'>;
  now: () => Date;
  /** Milliseconds that never go back. */
  clock?: () => number;
}

interface Heard {
  sign: number;
  at: number;
  renewed: boolean;
  /** Since when its figures say at each look that stacks are not looked at; null while they do not. */
  lateAt: number | null;
}

/**
 * Raises an alarm for each engine whose agent gives no sign of life any more, or lives and does not look at its stacks:
 * what of it hangs cannot tell. How long that is so is counted by our own looks, not by the time in the row: after a
 * host was off, or the database away, every row is old, and the agents come back beside us. An agent whose host was
 * replaced by a recovery is silent since it has to be, and has said so.
 */
export class AgentWatch {
  /** The newest sign of each engine's agent, and when it was first seen here. */
  private signs: ReadonlyMap<string, Heard> = new Map();

  constructor(private readonly deps: WatchDeps) {}

  async turn(): Promise<void> {
    const { database, clock = () => performance.now() } = this.deps;
    const before = this.signs;
    // Of the time until the next look that succeeds nothing is known.
    this.signs = new Map();
    const engines = await database.getRepository(EngineEntity).find({ order: { id: 'ASC' } });
    const at = clock();
    this.signs = new Map(
      engines.map((engine) => {
        const known = before.get(engine.id);
        const sign = engine.seenAt.getTime();
        const lateAt = lateOf(engine) === null ? null : (known?.lateAt ?? at);
        const heard = known?.sign === sign ? { ...known, renewed: false } : { sign, at, renewed: known !== undefined };
        return [engine.id, { ...heard, lateAt }];
      }),
    );
    const silentOnes = engines.filter(({ id }) => at - (this.signs.get(id)?.at ?? at) >= SILENT_MS);
    const lateOnes = engines.filter(({ id }) => at - (this.signs.get(id)?.lateAt ?? at) >= LATE_MS);
    if ((await keptFence(database, await ownFence(database))) !== null) {
      await this.settle([], []);
      return;
    }
    const findings = [...silentOnes.map(silent), ...lateOnes.map(late)];
    // Not heard anew, or late, and not for too long yet: an alarm that another life of a worker raised may still be true.
    const unsure = [...this.signs].flatMap(([id, { renewed, lateAt }]) => [
      ...(renewed ? [] : [keyOf(id, 'silent')]),
      ...(lateAt === null ? [] : [keyOf(id, 'late')]),
    ]);
    await this.settle(findings, unsure);
  }

  private async settle(findings: Finding[], unsure: string[]): Promise<void> {
    const { database, logger, now } = this.deps;
    const { raised, ended } = await settleAlarms(database, 'agent', { findings, unsure }, now());
    raised.forEach(({ key, message }) => logger.error({ alarm: key }, message));
    ended.forEach((key) => logger.info({ alarm: key }, 'alarm over'));
  }
}

const keyOf = (engineId: string, what: 'silent' | 'late'): string => `agent/${engineId}/${what}`;

const lateOf = ({ seenAt, figures }: EngineEntity): number | null =>
  lateSeconds({ seenAt: seenAt.toISOString(), figures });

function silent({ id, seenAt }: EngineEntity): Finding {
  const last = `${seenAt.toISOString().slice(0, 16).replace('T', ' ')} UTC`;
  return {
    key: keyOf(id, 'silent'),
    code: 'AGENT_SILENT',
    severity: 'critical',
    message: `The agent of the host ${id} gave its last sign of life at ${last}. Stacks run on as they are, but nothing of them is made, changed, watched or repaired, and every order waits. Does it run, and does its container engine? See aviary doctor and the agent’s log.`,
    params: { engine: id, seenAt: seenAt.toISOString() },
  };
}

function late(engine: EngineEntity): Finding {
  const { id } = engine;
  const minutes = Math.floor((lateOf(engine) ?? 0) / 60);
  return {
    key: keyOf(id, 'late'),
    code: 'RECONCILE_LATE',
    severity: 'critical',
    message: `The agent of the host ${id} lives, but all or some of its stacks were last looked at ${minutes} minutes ago. They run on as they are; what of them breaks may be neither seen nor repaired. What hangs or fails is said by aviary doctor and the agent’s log; a restart of its container changes nothing of any stack.`,
    params: { engine: id, minutes },
  };
}
