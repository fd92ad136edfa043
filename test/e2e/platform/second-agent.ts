import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { waitFor } from '#libs/async';
import { docker, engineSocket, pidOf } from '../../support/engine.js';
import { EngineDoor } from '../../support/engine-door.js';
import { SOON, type PlatformWorld } from './world.js';

const CHANGE = /^(POST|PUT|DELETE) /;

interface Inspected {
  Image: string;
  Config: { Env: string[]; User: string; Labels: Record<string, string>; Cmd: string[] };
  HostConfig: { GroupAdd: string[]; Tmpfs: Record<string, string> };
  Mounts: { Type: string; Source: string; Destination: string; RW: boolean }[];
}

/** Two agents of one engine, each a container as `up` makes it, and each with a way of its own to that engine. */
export function secondAgent(world: () => PlatformWorld): void {
  let door: EngineDoor;
  let name: string;
  let settings: string;
  beforeAll(async () => {
    const { root, prefix } = world().platform.facts;
    name = `aviary-${prefix}-agent-2`;
    settings = join(root, 'agent-2.env');
    door = await EngineDoor.open(join(root, 'engine-2.sock'), engineSocket());
  });
  afterAll(async () => {
    await docker('rm', '--force', name);
    await door.close();
    await rm(settings, { force: true });
    await world().clear();
  }, 180_000);

  /** The settings of the first, and a private port and a way to the engine of its own. */
  async function startSecond(): Promise<void> {
    const { platform } = world();
    const [first] = JSON.parse(await docker('inspect', platform.container('agent'))) as [Inspected];
    const { Config: config, HostConfig: host } = first;
    const environment = config.Env.filter((line) => line.startsWith('AVIARY_') || line.startsWith('PATH='));
    // By a file, as nothing secret stands on a command line.
    await writeFile(settings, [...environment, 'AVIARY_AGENT_SOCKET=/run/aviary-agent/second.sock', ''].join('\n'), {
      mode: 0o600,
    });
    const binds = first.Mounts.filter(({ Type }) => Type === 'bind').map(
      ({ Source, Destination, RW }) =>
        `${Source === platform.door.path ? door.path : Source}:${Destination}:${RW ? 'rw' : 'ro'}`,
    );
    const labels = Object.entries(config.Labels).filter(([label]) => label.startsWith('aviary.'));
    const options = [
      ['--detach', '--init', '--name', name, '--env-file', settings, '--user', config.User, '--network', 'host'],
      ['--read-only', '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges:true', '--restart', 'no'],
      labels.flatMap(([label, value]) => ['--label', `${label}=${value}`]),
      host.GroupAdd.flatMap((group) => ['--group-add', group]),
      Object.entries(host.Tmpfs).flatMap(([path, tmpfs]) => ['--tmpfs', `${path}:${tmpfs}`]),
      binds.flatMap((bind) => ['--volume', bind]),
    ];
    await docker('run', ...options.flat(), first.Image, ...config.Cmd);
  }

  const holder = (): Promise<string> => world().platform.sql('select owner, fencing from engine_leases');

  it('takes over from one that was paused at work; that one ends when it goes on, and has changed nothing', async () => {
    const { platform } = world();
    const first = platform.container('agent');
    const restarts = (): Promise<string> => docker('inspect', '-f', '{{.RestartCount}}', first);
    // Not the helper that looks at the firewall each minute: what was begun of it is ended.
    const changes = (of: EngineDoor): string[] =>
      of.calls.map(({ step }) => step).filter((step) => CHANGE.test(step) && !step.includes('firewall'));
    const since = new Date().toISOString();
    const said = async (): Promise<string> => docker('logs', '--since', since, first);
    const owner = await world().signedUp();
    const [held, lives] = [await holder(), await restarts()];
    const sprung = platform.door.holdAnswer((step) => step.endsWith('-runtime/start'));
    const { stack, operation } = await owner.createStack();
    const { release } = await sprung;
    const init = await pidOf(first);
    const pid = Number(await readFile(`/proc/${init}/task/${init}/children`, 'utf8'));
    process.kill(pid, 'SIGSTOP');
    let stands = true;
    try {
      await startSecond();
      const taken = await waitFor(
        async () => {
          const now = await holder();
          return now === held ? undefined : now;
        },
        { what: 'the second agent taking over', ...SOON },
      );
      expect(await owner.operationOver(operation.id)).toMatchObject({ state: 'done', error: null });
      await owner.signOn(stack.slug);
      await world().served({ owner, slug: stack.slug });
      await owner.destroy(stack.slug);
      expect(await platform.traces(stack)).toEqual([]);
      expect(changes(door).length).toBeGreaterThan(8);
      const before = changes(platform.door);
      // Its operation gets the answer it waited for and would go on, and each of its timers is overdue.
      release();
      process.kill(pid, 'SIGCONT');
      stands = false;
      await waitFor(async () => ((await restarts()) === lives ? undefined : true), {
        what: 'the end of the first agent',
        ...SOON,
      });
      expect(await said()).toContain('this agent may act no more and ends');
      // In its next life it stands by.
      await waitFor(async () => ((await said()).includes('standing by') ? true : undefined), {
        what: 'the first agent standing by',
        ...SOON,
      });
      expect(changes(platform.door)).toEqual(before);
      expect(await platform.traces(stack)).toEqual([]);
      expect(await holder()).toBe(taken);
    } finally {
      if (stands) {
        process.kill(pid, 'SIGCONT');
      }
    }
    // One that ends in order lets go, and the first has the engine again.
    await docker('stop', '-t', '20', name);
    const next = await owner.createStack();
    await owner.operationEnd(next.operation.id);
    expect(changes(platform.door).filter((step) => step.includes(next.stack.slug))).not.toEqual([]);
  }, 300_000);
}
