import { AccountEntity } from './account.entity.js';
import { AlarmEntity } from './alarm.entity.js';
import { AuditEntryEntity, AuditSealEntity } from './audit.entity.js';
import { BackupEntity, RepositoryEntity } from './backup.entity.js';
import { DataKeyEntity, KeyHolderEntity, KeyRotationEntity } from './data-key.entity.js';
import { DisclaimerAcceptanceEntity } from './disclaimer-acceptance.entity.js';
import { TenantDomainEntity } from './tenant-domain.entity.js';
import { EngineEntity, EngineLeaseEntity, EngineStandByEntity } from './engine.entity.js';
import { ExportEntity } from './export.entity.js';
import { IdempotentRequestEntity } from './idempotent-request.entity.js';
import { MailTokenEntity } from './mail-token.entity.js';
import { OperationEntity, OperationStepEntity } from './operation.entity.js';
import { OrphanEntity } from './orphan.entity.js';
import { OutboxMailEntity } from './outbox-mail.entity.js';
import { PlanEntity } from './plan.entity.js';
import { FenceEntity, PortalBackupEntity, RecoveryEntity, RecoveryStackEntity } from './portal-backup.entity.js';
import { PlatformEntity } from './platform.entity.js';
import { ReleaseEntity } from './release.entity.js';
import { RolloutEntity, RolloutMoveEntity, RolloutStackEntity } from './rollout.entity.js';
import { ScheduleEntity, ScheduleTickEntity } from './schedule-tick.entity.js';
import { RefreshTokenEntity, SessionEntity } from './session.entity.js';
import {
  EdgeSlotEntity,
  HeartbeatEntity,
  HoldEntity,
  HostnameEntity,
  RuntimeEventEntity,
  SignOnCodeEntity,
  TenantSecretEntity,
  TenantSubnetEntity,
} from './tenant-parts.entity.js';
import { SleepTokenEntity } from './sleep-token.entity.js';
import { StackWarningEntity } from './stack-warning.entity.js';
import { SignUpEntity } from './sign-up.entity.js';
import { TenantEntity } from './tenant.entity.js';
import { UpgradeFailureEntity } from './upgrade-failure.entity.js';
import { EngineUsageEntity, TenantUsageEntity } from './usage.entity.js';
import { KnownDeviceEntity, SignInGuardEntity } from './sign-in-guard.entity.js';

export * from './account.entity.js';
export * from './alarm.entity.js';
export * from './audit.entity.js';
export * from './backup.entity.js';
export * from './data-key.entity.js';
export * from './disclaimer-acceptance.entity.js';
export * from './engine.entity.js';
export * from './export.entity.js';
export * from './idempotent-request.entity.js';
export * from './mail-token.entity.js';
export * from './operation.entity.js';
export * from './orphan.entity.js';
export * from './outbox-mail.entity.js';
export * from './plan.entity.js';
export * from './platform.entity.js';
export * from './portal-backup.entity.js';
export * from './release.entity.js';
export * from './rollout.entity.js';
export * from './schedule-tick.entity.js';
export * from './session.entity.js';
export * from './sign-in-guard.entity.js';
export * from './sign-up.entity.js';
export * from './tenant-parts.entity.js';
export * from './sleep-token.entity.js';
export * from './stack-warning.entity.js';
export * from './tenant-domain.entity.js';
export * from './tenant.entity.js';
export * from './upgrade-failure.entity.js';
export * from './usage.entity.js';

/** Every table there is: a new entity is one export above and one line here. */
export const ENTITIES = [
  AccountEntity,
  AlarmEntity,
  AuditEntryEntity,
  AuditSealEntity,
  BackupEntity,
  DataKeyEntity,
  DisclaimerAcceptanceEntity,
  EdgeSlotEntity,
  EngineEntity,
  EngineLeaseEntity,
  EngineStandByEntity,
  EngineUsageEntity,
  ExportEntity,
  HeartbeatEntity,
  HoldEntity,
  HostnameEntity,
  IdempotentRequestEntity,
  KeyHolderEntity,
  KeyRotationEntity,
  KnownDeviceEntity,
  MailTokenEntity,
  OperationEntity,
  OperationStepEntity,
  OrphanEntity,
  OutboxMailEntity,
  PlanEntity,
  PlatformEntity,
  PortalBackupEntity,
  RecoveryEntity,
  FenceEntity,
  RecoveryStackEntity,
  RefreshTokenEntity,
  ReleaseEntity,
  RepositoryEntity,
  RolloutEntity,
  RolloutMoveEntity,
  RolloutStackEntity,
  RuntimeEventEntity,
  ScheduleEntity,
  ScheduleTickEntity,
  SessionEntity,
  SignInGuardEntity,
  SignOnCodeEntity,
  SignUpEntity,
  SleepTokenEntity,
  StackWarningEntity,
  TenantDomainEntity,
  TenantEntity,
  TenantSecretEntity,
  TenantSubnetEntity,
  TenantUsageEntity,
  UpgradeFailureEntity,
];
