import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FakeEngineServer, FakeStreamsServer } from '#libs/engine';
import { AgentProcess, agentHome, type AgentHome } from '../agent-process.js';
import type { BackupWorld } from '../backup-world.js';
import { engineAtDoor, streamsAtDoor, type Names } from './at-door.js';
import type { Door } from './door.js';

const LEASE_SECONDS = 2;

interface Parts {
  world: BackupWorld;
  /** Which the calls that concern that stack pass. */
  door: Door;
  stack: Names;
  /** How restic is run. */
  restic: string;
}

/**
 * Agents that are killed, one after the other: the engine in memory and its streams lie here and outlive them, database
 * and restic are real. Each life is a process of its own, and with it go all that it started and its folder in memory,
 * as with a container.
 */
export class MortalAgents {
  private lives = 0;
  private agent: AgentProcess | null = null;

  private constructor(
    private readonly parts: Parts,
    private readonly home: AgentHome,
    private readonly sockets: { engine: string; streams: string },
    private readonly servers: { close(): Promise<unknown> }[],
  ) {}

  static async around(parts: Parts): Promise<MortalAgents> {
    const { world, door, stack } = parts;
    const home = { ...(await agentHome(world.world, world.home)), together: true };
    const socket = (what: string): string => join(world.home, `${what}-${stack.slug}.sock`);
    const sockets = { engine: socket('engine'), streams: socket('streams') };
    const streams = await FakeStreamsServer.listen(world.streams, sockets.streams, streamsAtDoor(door, stack));
    const engine = await FakeEngineServer.listen(
      engineAtDoor(world.engine, door, stack, (container) => streams.ended(container)),
      sockets.engine,
    );
    return new MortalAgents(parts, home, sockets, [engine, streams]);
  }

  /** Begins the next one; resolves once it works. */
  async live(): Promise<void> {
    const { world, stack, restic } = this.parts;
    this.lives += 1;
    await mkdir(this.secretDir, { mode: 0o700 });
    this.agent = await AgentProcess.start(this.home, `agent-${stack.slug}-${this.lives}`, this.sockets.engine, {
      AVIARY_BACKUP_URL: join(world.home, 'repositories'),
      AVIARY_RESTIC_BINARY: restic,
      AVIARY_RESTIC_CACHE_DIR: this.cacheDir,
      AVIARY_SECRET_DIR: this.secretDir,
      AVIARY_LEASE_SECONDS: String(LEASE_SECONDS),
      AVIARY_DISK_FLOOR_MB: '0',
      TEST_STREAMS: this.sockets.streams,
    });
  }

  /** SIGKILL, for it and all that it started. */
  async kill(): Promise<void> {
    await this.agent?.kill();
    this.agent = null;
    // It lies in the memory of the container.
    await rm(this.secretDir, { recursive: true, force: true });
  }

  /** Of the one that lives now. */
  get secretDir(): string {
    return join(this.parts.world.home, `secrets-${this.parts.stack.slug}-${this.lives}`);
  }

  get cacheDir(): string {
    return join(this.parts.world.home, 'agent-cache');
  }

  async close(): Promise<void> {
    await this.kill();
    for (const server of this.servers) {
      await server.close();
    }
  }
}
