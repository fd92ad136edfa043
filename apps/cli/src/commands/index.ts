import type { Command } from 'commander';
import type { Environment } from '../frame/command.js';
import { dbCommands } from './db.js';
import { operationCommands } from './operation.js';
import { tenantCommands } from './tenant.js';

/** One file a noun; a new noun is one line here. */
export const NOUNS: readonly ((program: Command, environment: Environment) => void)[] = [
  tenantCommands,
  operationCommands,
  dbCommands,
];
