import { AlarmMails1763700000012 } from './1763700000012-alarm-mails.js';
import { Accounts1763700000001 } from './1763700000001-accounts.js';
import { DomainProof1763700000016 } from './1763700000016-domain-proof.js';
import { Domains1763700000011 } from './1763700000011-domains.js';
import { HeldAndAsleep1763700000006 } from './1763700000006-held-and-asleep.js';
import { BackupsKept1763700000024 } from './1763700000024-backups-kept.js';
import { PlanBackupAge1763700000035 } from './1763700000035-plan-backup-age.js';
import { BackupsHeldUnwritten1763700000036 } from './1763700000036-backups-held-unwritten.js';
import { RolloutBots1763700000038 } from './1763700000038-rollout-bots.js';
import { PortalBackups1763700000025 } from './1763700000025-portal-backups.js';
import { RecoveryUndecided1763700000028 } from './1763700000028-recovery-undecided.js';
import { Backups1763700000019 } from './1763700000019-backups.js';
import { Upgrades1763700000020 } from './1763700000020-upgrades.js';
import { CarriedEpochs1763700000031 } from './1763700000031-carried-epochs.js';
import { DataKeys1763700000023 } from './1763700000023-data-keys.js';
import { Exports1763700000026 } from './1763700000026-exports.js';
import { Fences1763700000030 } from './1763700000030-fences.js';
import { EngineFigures1763700000021 } from './1763700000021-engine-figures.js';
import { Rollouts1763700000022 } from './1763700000022-rollouts.js';
import { OrphansDue1763700000018 } from './1763700000018-orphans-due.js';
import { Reconcile1763700000015 } from './1763700000015-reconcile.js';
import { Requests1763700000003 } from './1763700000003-requests.js';
import { SafeEnds1763700000004 } from './1763700000004-safe-ends.js';
import { SleepTokens1763700000013 } from './1763700000013-sleep-tokens.js';
import { Stacks1763700000002 } from './1763700000002-stacks.js';
import { StackWarnings1763700000010 } from './1763700000010-stack-warnings.js';
import { WarningsOver1763700000014 } from './1763700000014-warnings-over.js';
import { Watch1763700000009 } from './1763700000009-watch.js';
import { Usage1763700000007 } from './1763700000007-usage.js';

/** In order. A landed migration is never edited; `npm run check:migrations` compares the result with the entities. */
export const MIGRATIONS = [
  Accounts1763700000001,
  Stacks1763700000002,
  Requests1763700000003,
  SafeEnds1763700000004,
  HeldAndAsleep1763700000006,
  Watch1763700000009,
  Reconcile1763700000015,
  Usage1763700000007,
  StackWarnings1763700000010,
  Domains1763700000011,
  AlarmMails1763700000012,
  SleepTokens1763700000013,
  WarningsOver1763700000014,
  DomainProof1763700000016,
  OrphansDue1763700000018,
  Backups1763700000019,
  Upgrades1763700000020,
  EngineFigures1763700000021,
  Rollouts1763700000022,
  DataKeys1763700000023,
  BackupsKept1763700000024,
  PortalBackups1763700000025,
  Exports1763700000026,
  RecoveryUndecided1763700000028,
  Fences1763700000030,
  CarriedEpochs1763700000031,
  PlanBackupAge1763700000035,
  BackupsHeldUnwritten1763700000036,
  RolloutBots1763700000038,
];
