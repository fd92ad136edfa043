import type { KeyObject } from 'node:crypto';
import type { Bounds } from '#libs/async';
import type { Activity, Hold, HoldAnswer, Resumption } from '#libs/contracts';
import type { GatePage } from '#libs/edge';
import type { OperationEntity } from '#libs/db';
import type { Engine, EngineStreams, FileEntry } from '#libs/engine';
import type { PhaseName } from '#libs/tenants';
import type { StackFacts } from './planner/want.js';

/** Where a stack's addresses lead: to its services, or to the gate, which says why not. */
export type Serving = 'tenant' | GatePage;

/** The published route of a stack: one file per stack in the proxy's folder. */
export interface Routes {
  /** Text of the stack's file as it lies there, or null. */
  read(slug: string): Promise<string | null>;
  write(slug: string, text: string): Promise<void>;
  remove(slug: string): Promise<void>;
  /** What the proxy reads is made as these files say, where somebody changed it since. */
  serveAgain(): Promise<void>;
  /** What the file should say. */
  render(facts: StackFacts, serving: Serving): string;
}

/** The files of services' secret volumes, opened only while they are delivered. */
export interface SecretFiles {
  volumesFor(facts: StackFacts, services: readonly string[]): Promise<{ volume: string; files: FileEntry[] }[]>;
}

/** The databases of stacks, spoken to by the platform for one purpose only. */
export interface StackDatabases {
  /**
   * Makes `current` the password of the stack's role, whichever of the two it has now; resolves with whether it had the
   * other. Waits for a database that starts. Throws HEALTH_GATE_FAILED when it takes neither.
   */
  changePassword(facts: StackFacts, passwords: { current: string; previous: string }, bounds: Bounds): Promise<boolean>;
}

/** What backups need of the operation they are part of. */
export interface BackupWork {
  operation: Pick<OperationEntity, 'id' | 'kind' | 'input' | 'fencing'>;
  facts: StackFacts;
  /** Both prove the lease before every change. */
  engine: Engine;
  streams: EngineStreams;
  /** Throws FENCED once the lease is another's: asked before what neither of them guards is changed. */
  prove: () => Promise<void>;
  /** Leaves out phases that are still to come, and says why. */
  skip: (phases: readonly PhaseName[], why: string) => Promise<void>;
  signal: AbortSignal;
}

/**
 * Backups of a stack and their way back, phase by phase; each may run twice and begins anew. They resolve with what a
 * person is to read of the phase. Throws BACKUP_FAILED, BACKUP_UNVERIFIED, and what the repository or the engine throws.
 */
export interface StackBackups {
  /**
   * Writes the stack's databases out of one moment into its repository. One by the clock is left out, with the phases
   * after it, where the newest verified backup holds what there is.
   */
  dump(work: BackupWork): Promise<string>;
  /** Stores everything else of the stack and the manifest, and reads back what it stored. */
  store(work: BackupWork): Promise<string>;
  /** Restores what was stored into a server beside the stack and compares. */
  prove(work: BackupWork): Promise<string>;
  /** Removes the backups that the owner's plan keeps no longer; none while the newest one is not verified. */
  prune(work: BackupWork): Promise<string>;
  /** Fills the volumes of a new epoch from the backup that the operation names, the stack going on beside. */
  load(work: BackupWork): Promise<string>;
  /** Takes away what was filled, where the operation ends before its swap; what cannot be goes with the next good backup. */
  giveUp(work: BackupWork): Promise<void>;
  /** Throws DATA_MISSING unless the volumes that an undo goes back to are all there. */
  kept(work: BackupWork): Promise<string>;
  /** Makes those volumes, or the kept ones, the stack's own; nothing of it may run. The ones before are kept. */
  swap(work: BackupWork): Promise<string>;
  /** Throws NO_CAPACITY where a second copy of all the stack's data has no room on this host. */
  roomToCarry(work: BackupWork): Promise<void>;
  /**
   * Fills the volumes of a new epoch with the data of the stack, whose databases alone may run, through servers of the
   * release that `target` is of, and compares. The stack's own volumes stay as they are. Throws CARRY_FAILED, and then
   * leaves nothing of it, or where that cannot be removed now, what goes with the next good backup.
   */
  carry(work: BackupWork, target: StackFacts): Promise<string>;
  /**
   * Gives the stack's databases that password, whatever they have: data of before a restore may have one nobody knows.
   * Waits for servers that start. Throws HEALTH_GATE_FAILED.
   */
  setPassword(work: BackupWork, password: string, deadlineMs: number): Promise<void>;
  /** Takes every backup of the stack away, for ever. Resolves with what could not be and stays, in words, or null. */
  erase(work: BackupWork): Promise<string | null>;
}

/** Looks at a stack from outside. The first two resolve when it answers as it should, and throw HEALTH_GATE_FAILED otherwise. */
export interface Probes {
  /** The runtime's /ready by address: migrated, and one write and read in both stores. */
  ready(facts: StackFacts, bounds: { deadlineMs: number; signal: AbortSignal }): Promise<void>;
  /** The same through the proxy over TLS, as a visitor comes. */
  served(facts: StackFacts, bounds: { deadlineMs: number; signal: AbortSignal }): Promise<void>;
  /** What would stop with the stack, as its runtime says now; null when no usable answer came. `key` is the stack's own. */
  activity(
    facts: StackFacts,
    key: KeyObject,
    bounds: { deadlineMs: number; signal: AbortSignal },
  ): Promise<Activity | null>;
  /** Whether bots resumed since the runtime began and its books agree; null when no usable answer came. */
  resumption(facts: StackFacts, key: KeyObject, bounds: Bounds): Promise<Resumption | null>;
  /** Has the runtime hold its bots, or let them go on; how they stand then, or null when no usable answer came. */
  hold(facts: StackFacts, key: KeyObject, hold: Hold, bounds: Bounds): Promise<HoldAnswer | null>;
}
