import type { CapacityItem } from '#libs/contracts';
import { TenantEntity, type Database } from '#libs/db';
import { settleAlarms, type Finding } from '#libs/jobs';
import type { DataKeys } from '#libs/keys';
import type { Logger } from '#libs/telemetry';
import { capacityWarning, engineRoom, recoveryFindings, type AddressPool } from '#libs/tenants';
import type { EngineAnswer } from './engine-answer.js';
import type { Reconciler } from './reconciler.js';

interface AlarmDeps {
  dataSource: Database;
  engineId: string;
  pool: AddressPool;
  reconciler: Pick<Reconciler, 'fleetUnwell'>;
  answer: Pick<EngineAnswer, 'away'>;
  keys: Pick<DataKeys, 'lost'>;
  logger: Logger;
  now: () => Date;
}

/** What an operator must know of an engine and its stacks as a whole, and nobody else would tell: raised, kept and ended. */
export class EngineAlarms {
  private items: readonly CapacityItem[] = [];

  constructor(private readonly deps: AlarmDeps) {}

  /** What was taken of each resource at the last turn; empty before the first. */
  get room(): readonly CapacityItem[] {
    return this.items;
  }

  async turn(): Promise<void> {
    const { dataSource, engineId, pool, logger, now } = this.deps;
    this.items = await engineRoom(dataSource.manager, engineId, pool);
    const findings = [
      ...this.away(),
      ...this.capacity(),
      ...(await this.stillRunning()),
      ...this.unwell(),
      ...(await this.keysLost()),
      ...(await recoveryFindings(dataSource, { engineId, key: this.key('recovery') })),
    ];
    const { raised } = await settleAlarms(dataSource, `engine/${engineId}`, { findings }, now());
    raised.forEach(({ key, message }) => logger.error({ alarm: key }, message));
  }

  private away(): Finding[] {
    const { answer, engineId } = this.deps;
    const { away: why } = answer;
    return why === null
      ? []
      : [
          {
            key: this.key('away'),
            code: 'ENGINE_AWAY',
            severity: 'critical',
            message: `The container engine of the host ${engineId} does not answer: ${why} What runs may run on, but no stack is made, started, stopped or repaired, and every order waits. Look at the engine on its host: systemctl status docker`,
            params: { engine: engineId, why },
          },
        ];
  }

  private capacity(): Finding[] {
    return this.items.flatMap((item) => {
      const { resource, unit, used, limit, share, level } = item;
      const message = capacityWarning(item);
      return message === null
        ? []
        : [
            {
              key: this.key(`capacity/${resource}`),
              code: 'CAPACITY_LOW',
              severity: level === 'bad' ? 'critical' : 'warning',
              message,
              params: { engine: this.deps.engineId, resource, unit, used, limit, share },
            },
          ];
    });
  }

  /** What its owner stopped or somebody suspended may trade on; with nothing at work on it, that is somebody's business. */
  private async stillRunning(): Promise<Finding[]> {
    const rows = await this.deps.dataSource.manager
      .createQueryBuilder(TenantEntity, 'tenant')
      .select('tenant.slug', 'slug')
      .where(`tenant.engineId = :engineId and tenant.observed in ('running', 'partial')`, {
        engineId: this.deps.engineId,
      })
      .andWhere(
        `(tenant.desired in ('stopped', 'hibernated')
          or exists (select from holds where holds.tenant_id = tenant.id))`,
      )
      .andWhere(
        `not exists (select from operations o
                      where o.tenant_id = tenant.id and o.exclusive and o.state in ('queued', 'running'))`,
      )
      .getRawMany<{ slug: string }>();
    return rows.map(({ slug }) => ({
      key: this.key(`runs/${slug}`),
      code: 'STACK_STILL_RUNNING',
      severity: 'critical',
      message: `${slug} is to rest and still runs, so its bots may trade. Aviary goes on trying to stop it; why it could not is in its operations: aviary operation list --slug ${slug}`,
      params: { stack: slug },
    }));
  }

  private unwell(): Finding[] {
    const fleet = this.deps.reconciler.fleetUnwell;
    return fleet === null
      ? []
      : [
          {
            key: this.key('unwell'),
            code: 'STACKS_UNWELL',
            severity: 'critical',
            message: `${fleet.unwell} of ${fleet.of} stacks of this host do not answer, so the trouble is the host’s and none is restarted. Look at its memory, disk and processors: aviary doctor`,
            params: { engine: this.deps.engineId, ...fleet },
          },
        ];
  }

  /** Found before anybody needs one: until it is used, nothing else would tell. */
  private async keysLost(): Promise<Finding[]> {
    const { dataSource, engineId, keys } = this.deps;
    const lost = await keys.lost(dataSource.manager, engineId);
    return lost.map(({ slug, why }) => ({
      key: this.key(`key/${slug}`),
      code: 'KEY_LOST',
      severity: 'critical',
      message: `What is sealed for ${slug} does not open with its data key: ${why}. It runs on, but cannot be started, restored or backed up; other stacks are not concerned. Bring its key back as docs/operate.md says under “Keys”.`,
      params: { stack: slug, why },
    }));
  }

  private key(what: string): string {
    return `engine/${this.deps.engineId}/${what}`;
  }
}
