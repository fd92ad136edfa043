import type { Command } from 'commander';
import type { Environment } from '../frame/command.js';
import { auditCommands } from './audit.js';
import { backupCommands } from './backup.js';
import { capacityCommand } from './capacity.js';
import { dbCommands } from './db.js';
import { fleetCommands } from './fleet.js';
import { hostCommands } from './host.js';
import { keyCommands } from './keys.js';
import { operationCommands } from './operation.js';
import { orphanCommands } from './orphans.js';
import { outboxCommands } from './outbox.js';
import { planCommands } from './plan.js';
import { portalCommands } from './portal.js';
import { releaseCommands } from './release.js';
import { rolloutCommands } from './rollout.js';
import { tenantCommands } from './tenant.js';
import { userCommands } from './user.js';
import { watchCommands } from './watch.js';

/** One file a noun; a new noun is one line here. */
export const NOUNS: readonly ((program: Command, environment: Environment) => void)[] = [
  tenantCommands,
  operationCommands,
  backupCommands,
  releaseCommands,
  rolloutCommands,
  userCommands,
  orphanCommands,
  outboxCommands,
  fleetCommands,
  capacityCommand,
  hostCommands,
  planCommands,
  keyCommands,
  portalCommands,
  watchCommands,
  auditCommands,
  dbCommands,
];
