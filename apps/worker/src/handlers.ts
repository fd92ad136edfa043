import { cleanAccounts } from '#libs/accounts';
import { sealAudit } from '#libs/audit';
import { tx, type Database } from '#libs/db';
import { cleanAlarms, cleanTicks, handler, settleAlarms, type HandlerEntry, type Queue } from '#libs/jobs';
import {
  mailAlarms,
  mailDomain,
  mailStackTrouble,
  mailStackWarning,
  type MailDelivery,
  type OutboxService,
} from '#libs/support';
import type { Logger } from '#libs/telemetry';
import {
  advanceRollouts,
  backupAges,
  cleanSignOnCodes,
  expireOperations,
  haltedRollouts,
  orderDueBackups,
  orderDuePortalBackup,
  orderDuePrunes,
  overdueBackups,
  portalBackupFindings,
} from '#libs/tenants';

export interface HandlerDeps {
  database: Database;
  delivery: MailDelivery;
  outbox: OutboxService;
  queue: Pick<Queue, 'enqueue'>;
  logger: Logger;
  now: () => Date;
  /** Origin of the portal, for links in mails. */
  portalUrl: string;
  /** Of the platform's nights. */
  zone: string;
  /** From which hour of the night on the portal itself is backed up, and after how many hours without it is told. */
  portalBackup: { hour: number; overdueHours: number };
}

/** One handler for each job of the worker; the queue refuses to start when one is missing or double. */
export function workerHandlers({
  database,
  delivery,
  outbox,
  queue,
  logger,
  now,
  portalUrl,
  zone,
  portalBackup,
}: HandlerDeps): HandlerEntry[] {
  return [
    handler('mail.send', ({ mailId }, context) => delivery.deliver(mailId, context)),
    handler('mail.stack', (payload) => mailStackTrouble(database, outbox, payload)),
    handler('mail.stack-warning', (payload) => mailStackWarning(database, outbox, payload)),
    handler('mail.domain', (payload) => mailDomain(database, outbox, payload)),
    handler('alarms.mail', async () => {
      const { open, over } = await mailAlarms(database, outbox, { portalUrl, now: now() });
      if (open.length + over.length > 0) {
        logger.info({ open, over }, 'operators are mailed about alarms');
      }
    }),
    handler('audit.seal', async () => {
      const { sealed, head } = await sealAudit(database, now);
      if (sealed > 0) {
        // The head in the log is a witness outside the database: a chain cut off at its end no longer reaches it.
        logger.info({ sealed, seq: head.seq, hash: head.hash }, 'audit entries sealed');
      }
    }),
    handler('operations.expire', async () => {
      for (const operation of await expireOperations({ dataSource: database, queue }, now())) {
        logger.error(operation, 'an operation that nobody ended was ended');
      }
    }),
    handler('backups.order', async () => {
      const ordered = await orderDueBackups({ dataSource: database, queue }, { now: now(), zone });
      if (ordered.length > 0) {
        logger.info({ stacks: ordered }, 'backups were ordered');
      }
      const findings = overdueBackups(await backupAges(database, now()));
      const { raised } = await settleAlarms(database, 'backup', { findings }, now());
      for (const { key, message } of raised) {
        logger.error({ alarm: key }, message);
      }
    }),
    handler('portal-backup.order', async () => {
      const { hour, overdueHours } = portalBackup;
      const asked = await orderDuePortalBackup(database, { now: now(), zone, hour });
      if (asked !== null) {
        logger.info({ backup: asked }, 'a backup of the portal was ordered');
      }
      const findings = await portalBackupFindings(database, { overdueHours }, now());
      const { raised } = await settleAlarms(database, 'portal-backup', { findings }, now());
      for (const { key, message } of raised) {
        logger.error({ alarm: key }, message);
      }
    }),
    handler('rollouts.advance', async () => {
      const { rollouts, again } = await advanceRollouts({ dataSource: database, queue, now });
      for (const rollout of rollouts.filter(({ ordered, moved }) => ordered.length + moved.length > 0)) {
        logger.info(rollout, 'a rollout went on');
      }
      const findings = await haltedRollouts(database);
      const { raised } = await settleAlarms(database, 'rollout', { findings }, now());
      for (const { key, message } of raised) {
        logger.error({ alarm: key }, message);
      }
      if (again !== null) {
        const next = { singletonKey: 'rollouts/next', afterSeconds: again };
        await tx(database, (db) => queue.enqueue(db, 'rollouts.advance', {}, next));
      }
    }),
    handler('backups.prune', async () => {
      const ordered = await orderDuePrunes({ dataSource: database, queue }, { now: now(), zone });
      if (ordered.length > 0) {
        logger.info({ stacks: ordered }, 'backups that are kept no longer are removed');
      }
    }),
    handler('sessions.clean', async () => {
      const removed = {
        ...(await cleanAccounts(database, now())),
        codes: await cleanSignOnCodes(database, now()),
        ticks: await cleanTicks(database, now()),
        alarms: await cleanAlarms(database, now()),
      };
      logger.info(removed, 'ended sessions and old tokens removed');
    }),
  ];
}
