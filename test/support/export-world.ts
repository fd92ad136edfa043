import { writeFile } from 'node:fs/promises';
import type { Server } from 'node:http';
import { join } from 'node:path';
import { pino } from 'pino';
import type { ExportAsked, ExportView } from '#libs/contracts';
import { backupListSchema } from '#libs/contracts';
import type { ExportTimes } from '#libs/tenants';
import { countsAnswer } from '../../apps/agent/src/counts-answer.js';
import { exportAnswer } from '../../apps/agent/src/export-answer.js';
import { passwordAnswer } from '../../apps/agent/src/password-answer.js';
import { startPrivateServer } from '../../apps/agent/src/private-server.js';
import { person, testApi, type TestApi, type TestPerson } from './api.js';
import { BackupWorld, RESTIC, type BackedUpStack } from './backup-world.js';

export const PASSPHRASE = 'many a mickle makes a muckle';

/** The production api before the part of an agent that reads backups, with the real restic and PostgreSQL. */
export class ExportWorld {
  /** What the agent's part logged. */
  readonly agentLogs: string[] = [];
  private server: Server | undefined;

  private constructor(
    readonly world: BackupWorld,
    readonly t: TestApi,
    readonly socket: string,
    readonly owner: TestPerson,
  ) {}

  static async start(exportTimes: Partial<ExportTimes> = {}): Promise<ExportWorld> {
    const world = await BackupWorld.start();
    const socket = join(world.home, 'agent.sock');
    const t = await testApi({ AVIARY_AGENT_SOCKET: socket }, { database: world.world.database, exportTimes });
    await world.world.database.dataSource.query('update plans set stacks = 100');
    const made = new ExportWorld(world, t, socket, await person(t));
    await made.agent();
    return made;
  }

  /** Begins the agent's part anew. */
  async agent(): Promise<void> {
    this.stopAgent();
    const logger = pino({ level: 'debug' }, { write: (line: string) => void this.agentLogs.push(line) });
    const exports = this.world.exports();
    const passwords = this.world.passwords();
    const counts = this.world.counts();
    this.server = await startPrivateServer(
      this.socket,
      () => Promise.resolve({ ok: true, checks: {} }),
      () => Promise.resolve(''),
      {
        exports: exportAnswer(() => exports, logger),
        passwords: passwordAnswer(() => passwords),
        counts: countsAnswer(() => counts),
      },
    );
  }

  stopAgent(): void {
    this.server?.closeAllConnections();
    this.server?.close();
  }

  /** A stack of the owner with a verified backup; with so many MB in its database that do not compress. */
  async stack({ mb = 0 }: { mb?: number } = {}): Promise<BackedUpStack & { backup: string }> {
    const { id, username } = this.owner;
    const stack = await this.world.stack({
      kind: 'subscriber',
      accountId: id,
      username,
      via: 'portal',
      ip: null,
      sessionId: null,
    });
    if (mb > 0) {
      await this.world.databases.sql(
        stack.postgres,
        `create table noise as select string_agg(md5(random()::text), '') as noise from generate_series(1, ${mb} * 32768) group by generate_series % 64`,
      );
    }
    const { backup } = await this.world.backUp(stack);
    return { ...stack, backup: backup!.id };
  }

  /** Another program in restic's place: sh, with restic's own arguments. */
  async resticInstead(script: string): Promise<void> {
    const file = join(this.world.home, 'other-restic');
    await writeFile(file, `#!/bin/sh\nrestic='${RESTIC}'\n${script}\n`, { mode: 0o755 });
    this.world.restic.binary = file;
  }

  ask(
    { slug, backup }: { slug: string; backup: string },
    { who = this.owner, password = who.password }: { who?: TestPerson; password?: string } = {},
  ) {
    return this.t.http.post(`/api/v1/stacks/${slug}/exports`).set(who.auth).send({ backup, password });
  }

  async ticket(stack: { slug: string; backup: string }): Promise<string> {
    return ((await this.ask(stack).expect(201)).body as ExportAsked).ticket;
  }

  get(ticket: string, passphrase = PASSPHRASE, options: RequestInit = {}): Promise<Response> {
    return fetch(`${this.t.url}/api/v1/exports`, {
      method: 'POST',
      body: new URLSearchParams({ ticket, passphrase }),
      ...options,
    });
  }

  /** What is told of the newest download. */
  async told({ slug }: { slug: string }): Promise<ExportView | null> {
    const { body } = await this.t.http.get(`/api/v1/stacks/${slug}/backups`).set(this.owner.auth).expect(200);
    return backupListSchema.parse(body).export;
  }

  async close(): Promise<void> {
    this.stopAgent();
    await this.t.close();
    await this.world.close();
  }
}
