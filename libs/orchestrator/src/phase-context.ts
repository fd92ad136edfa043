import type { Engine, EngineStreams } from '#libs/engine';
import type { OperationEntity } from '#libs/db';
import type { Queue } from '#libs/jobs';
import type { DataSource } from 'typeorm';
import type { HostDisk, PhaseName } from '#libs/tenants';
import type { EdgeKeeper } from './edge-keeper.js';
import type { StackFacts } from './planner/want.js';
import type { Probes, Routes, StackBackups, StackDatabases } from './ports.js';
import type { StackSecrets } from './secrets.js';
import type { StepLog } from './step-log.js';

export interface PhaseDeps {
  dataSource: DataSource;
  routes: Routes;
  secrets: StackSecrets;
  probes: Probes;
  databases: StackDatabases;
  /** For what an operation orders or tells at its own end. */
  queue: Pick<Queue, 'enqueue'>;
  /** Origin of the portal, for the link in a mail. */
  portalUrl: string;
  edges: EdgeKeeper;
  streams: EngineStreams;
  backups: StackBackups;
  /** The disk of this host's stacks as it is now. */
  hostDisk: () => Promise<HostDisk>;
  now: () => Date;
}

export interface PhaseContext {
  deps: PhaseDeps;
  /** Proves the lease before every change. */
  engine: Engine;
  streams: EngineStreams;
  prove: () => Promise<void>;
  operation: Pick<OperationEntity, 'id' | 'kind' | 'input' | 'fencing' | 'requestedBy'>;
  facts: StackFacts;
  log: StepLog;
  /** Leaves out phases that are still to come, and says why. */
  skip: (phases: readonly PhaseName[], why: string) => Promise<void>;
  phase: PhaseName;
  signal: AbortSignal;
  deadlineMs: number;
}
