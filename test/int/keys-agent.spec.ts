import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { waitFor } from '#libs/async';
import { MasterKey } from '#libs/crypto';
import { AccountEntity, DataKeyEntity, KeyRotationEntity } from '#libs/db';
import { FakeEngineServer } from '#libs/engine';
import { KeyService, sayHolder, type KeyStatus, type MasterKeys } from '#libs/keys';
import { AgentProcess, agentHome, type AgentHome } from '../support/agent-process.js';
import { aviary, document, environment, type Ran } from '../support/cli.js';
import { newMasterKey, newMasterKeyText } from '../support/keys.js';
import { stackWorld, type StackWorld } from '../support/stack-world.js';
import { program } from '../support/program.js';

let world: StackWorld;
let home: AgentHome;
let directory: string;
let server: FakeEngineServer;
const agents: AgentProcess[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'aviary-keys-'));
  world = await stackWorld();
  home = await agentHome(world, directory);
  server = await FakeEngineServer.listen(world.engine, join(directory, 'engine.sock'));
}, 60_000);
afterEach(async () => {
  for (const agent of agents.splice(0)) {
    await agent.kill();
  }
  await server.close();
  await world.close();
  await rm(directory, { recursive: true, force: true });
}, 60_000);

/** The program of the agent itself: what it says and how it ends before it has asked its engine anything. */
async function agentSays(keys: Record<string, string>): Promise<{ code: number | null; said: string }> {
  const child = spawn(process.execPath, program('apps/agent/src/main.ts'), {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env['PATH'],
      AVIARY_ENV: 'test',
      AVIARY_PLATFORM_ID: world.database.platformId,
      AVIARY_DATABASE_URL: world.database.url,
      AVIARY_GATE_PUBLIC_KEY: home.gateKey,
      AVIARY_API_URLS: world.edge.apiUrls.join(','),
      AVIARY_GATE_URLS: world.edge.gateUrls.join(','),
      AVIARY_TOOLS_IMAGE: 'tools',
      AVIARY_IMAGE_POSTGRES: 'p',
      AVIARY_IMAGE_REDIS: 'r',
      AVIARY_IMAGE_RUNTIME: 'u',
      AVIARY_DATA_DIR: join(directory, 'data'),
      // Nobody's: with a key that is right it ends here.
      AVIARY_ENGINE_ENDPOINT: `unix://${join(directory, 'no-engine.sock')}`,
      ...keys,
    },
  });
  const [said, errors, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit') as Promise<[number | null]>,
  ]);
  return { code, said: said + errors };
}

it('an agent with a wrong key, none, two, or a command that gives none ends with one sentence that says what to do', async () => {
  const program = join(directory, 'data', 'bin', 'unwrap');
  await mkdir(join(directory, 'data', 'bin'), { recursive: true });
  await writeFile(
    program,
    `#!/bin/sh\n[ "$1" = right ] && exec cat ${join(directory, 'key')}\necho no such key >&2\nexit 4\n`,
  );
  await chmod(program, 0o755);
  await writeFile(join(directory, 'key'), `${home.masterKey}\n`);
  const wrong = newMasterKeyText();
  const { id } = MasterKey.parse(wrong, 'the test');
  const refusals = [
    [{ AVIARY_MASTER_KEY: wrong }, `✗ The master key ${id} is not the one this platform is sealed with, which is `],
    [{}, '✗ There is no master key: set AVIARY_MASTER_KEY, AVIARY_MASTER_KEY_FILE or AVIARY_MASTER_KEY_COMMAND.'],
    [{ AVIARY_MASTER_KEY: home.masterKey, AVIARY_MASTER_KEY_COMMAND: 'unwrap right' }, 'set one of the three.'],
    [
      { AVIARY_MASTER_KEY_COMMAND: 'unwrap wrong' },
      '✗ AVIARY_MASTER_KEY_COMMAND gave no key: it ended with 4: no such key.',
    ],
    [{ AVIARY_MASTER_KEY_FILE: join(directory, 'nowhere') }, 'AVIARY_MASTER_KEY_FILE names a file that cannot be read'],
  ] as const;
  for (const [keys, sentence] of refusals) {
    const { code, said } = await agentSays(keys);
    expect(said).toContain(sentence);
    expect({ code, lines: said.trim().split('\n').length }).toEqual({ code: 1, lines: 1 });
    for (const secret of [wrong, home.masterKey]) {
      expect(said).not.toContain(secret);
    }
  }
  // What ends it with the right one, whichever way it comes, is that no engine is there.
  const right: Record<string, string>[] = [
    { AVIARY_MASTER_KEY: home.masterKey },
    { AVIARY_MASTER_KEY_FILE: join(directory, 'key') },
    { AVIARY_MASTER_KEY_COMMAND: 'unwrap right' },
  ];
  for (const keys of right) {
    expect((await agentSays(keys)).said).toContain('The container engine does not answer');
  }
}, 120_000);

describe('aviary keys', () => {
  const next = newMasterKeyText();
  const nextId = MasterKey.parse(next, 'the test').id;
  const cli = (...args: string[]): Promise<Ran> => aviary(environment(world.database), ['keys', ...args]);
  const start = async (settings: Record<string, string>): Promise<AgentProcess> => {
    const agent = await AgentProcess.start(home, `agent-${agents.length}`, join(directory, 'engine.sock'), settings);
    agents.push(agent);
    return agent;
  };
  const manager = () => world.database.dataSource.manager;
  const current = (): string => MasterKey.parse(home.masterKey, 'the test').id;

  it('rotates on the agent that has both keys, over its death, and says what is left to a person', async () => {
    const operator = await world.operator();
    const { username } = await manager().findOneByOrFail(AccountEntity, { id: operator.accountId });
    for (let stack = 0; stack < 3; stack += 1) {
      const { stack: made } = await world.stacks.create(await world.account(), { template: 'standard' });
      await world.keys.ensure(manager(), made.id, new Date());
    }
    const without = await start({});
    const none = await cli('rotate', '--json', '--confirm', nextId);
    expect(document(none)).toMatchObject({ ok: false, error: { code: 'WRONG_STATE' }, exit: 5 });
    expect(none.stdout).toContain('AVIARY_NEXT_MASTER_KEY');
    await without.kill('SIGTERM');

    await start({ AVIARY_NEXT_MASTER_KEY: next, TEST_DIES_MOVING_KEYS: 'yes' });
    const unconfirmed = await cli('rotate', '--json');
    expect(document(unconfirmed)).toMatchObject({ ok: false, exit: 2 });
    expect(unconfirmed.stdout).toContain(`--confirm=${nextId}`);
    expect(document(await cli('rotate', '--json', '--confirm', newMasterKey().id))).toMatchObject({ exit: 2 });
    expect(document(await cli('status', '--json'))).toMatchObject({
      data: { masterKey: current(), rotation: null, agents: [{ current: current(), next: nextId }], lost: [] },
    });
    const asked = await cli('rotate', '--json', '--confirm', nextId, '--detach', '--as', username);
    expect(document(asked)).toMatchObject({ ok: true, data: { from: current(), to: nextId, askedBy: username } });

    // Each life ends at its first batch: the platform's own key, then one stack's.
    const dies = async (left: number): Promise<void> => {
      await waitFor(() => agents.at(-1)?.gone || undefined, { what: 'its death', deadlineMs: 30_000 });
      expect(await manager().countBy(DataKeyEntity, { masterKey: current() })).toBe(left);
    };
    await dies(3);
    await start({ AVIARY_NEXT_MASTER_KEY: next, TEST_DIES_MOVING_KEYS: 'yes' });
    await dies(2);
    expect(document(await cli('status', '--json', '--as', username))).toMatchObject({
      data: { masterKey: nextId, rotation: { total: 4, left: 2, finishedAt: null } },
    });

    await start({ AVIARY_NEXT_MASTER_KEY: next });
    const done = await cli('rotate');
    expect(done.stderr).toMatch(/\d of 4 data keys/);
    expect(done.stdout).toContain('4 of 4 data keys are under it. Now make it the only one');
    expect(done.code).toBe(0);
    expect(await manager().countBy(DataKeyEntity, { masterKey: current() })).toBe(0);

    const unfinished = await cli('status');
    expect(unfinished.stdout).toMatch(new RegExp(`data keys under +${nextId} +4`));
    expect(unfinished.stderr).toContain(`make ${nextId} the only one`);
    expect(unfinished.code).toBe(8);
    for (const ran of [asked, done, unfinished, unconfirmed]) {
      for (const secret of [next, home.masterKey]) {
        expect(ran.stdout + ran.stderr).not.toContain(secret);
      }
    }

    await agents.at(-1)?.kill('SIGTERM');
    home = { ...home, masterKey: next };
    await start({});
    const well = await cli('status', '--json');
    expect(document(well)).toMatchObject({ ok: true, exit: 0, data: { masterKey: nextId, lost: [] } });
    expect((document(well).data as KeyStatus).agents).toHaveLength(1);
  }, 180_000);

  it('a rotation that gives way to another says so to whoever follows it', async () => {
    const operator = await world.operator();
    const holds = async (id: string): Promise<void> => {
      const masters = { current: { id: current() }, next: { id } } as MasterKeys;
      await manager().transaction(async (tx) => {
        await tx.query(`delete from key_holders`);
        await sayHolder(tx, { owner: 'agent', engineId: 'local', masters });
      });
    };
    await holds(nextId);
    const followed = cli('rotate', '--json', '--confirm', nextId, '--timeout', '30');
    const { id } = await waitFor(
      async () => {
        await holds(nextId);
        return (await manager().findOneBy(KeyRotationEntity, { toKey: nextId })) ?? undefined;
      },
      { what: 'the rotation being asked for', deadlineMs: 60_000, maxIntervalMs: 2_000 },
    );
    const other = newMasterKey().id;
    await holds(other);
    const service = new KeyService(world.database.dataSource, () => new Date());
    expect(await service.rotate(operator, other)).toMatchObject({ to: other });
    expect(document(await followed)).toMatchObject({
      error: { code: 'NOT_FOUND', message: expect.stringContaining('gave way to one to another') as string },
    });
    await expect(service.rotation(operator, id)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  }, 120_000);
});
