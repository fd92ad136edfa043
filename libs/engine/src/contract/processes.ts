import { waitFor } from '#libs/async';
import { asideOf } from '../aside.js';
import { LABEL, type ContainerState } from '../port.js';
import { SECONDS, addressIn, bounds, type ContractWorld } from './contract-world.js';
import { fails } from './expectations.js';

export function processesContract(world: ContractWorld): void {
  it('changes limits and restart policy of a running container', async () => {
    const spec = await world.started(world.container('resized'));
    const more = { cpus: 0.75, memoryBytes: 96 * 1024 * 1024, pids: 48 };
    await world.engine.updateLimits(spec.name, more, bounds);
    await world.engine.setRestart(spec.name, 'unless-stopped', bounds);
    expect(await world.state(spec)).toMatchObject({ restart: 'unless-stopped' });
    await world.engine.setRestart(spec.name, 'no', bounds);
    await world.engine.unpauseContainer(spec.name, bounds);
    expect(await world.state(spec)).toMatchObject({ restart: 'no' });
    expect(await world.state(spec)).toMatchObject({ status: 'running', limits: more });
    const less = { cpus: 0.25, memoryBytes: 32 * 1024 * 1024, pids: 16 };
    await world.engine.updateLimits(spec.name, less, bounds);
    expect((await world.state(spec)).limits).toEqual(less);
  });

  it('makes a container that ended anew: its configuration, networks and volumes, no more', async () => {
    const [one, two] = [world.network('one'), world.network('two')];
    const volume = { name: world.named('kept'), labels: world.labels() };
    await Promise.all([one, two].map((network) => world.engine.createNetwork(network, bounds)));
    await world.engine.createVolume(volume, bounds);
    const spec = await world.started(
      world.container('anew', {
        command: world.programs.print(1, 'said'),
        mounts: [{ volume: volume.name, target: '/kept', readOnly: false }],
        networks: [
          { network: one.name, address: addressIn(one, 5), aliases: ['first'] },
          { network: two.name, address: addressIn(two, 6), aliases: [] },
        ],
      }),
    );
    await world.ended(spec);
    const old = await world.state(spec);
    await world.engine.remakeContainer(spec.name, world.mine, bounds);
    const made = await world.state(spec);
    expect(made.id).not.toBe(old.id);
    expect(made).toMatchObject({ status: 'created', imageId: old.imageId, limits: old.limits });
    expect(made.labels).toEqual({ ...old.labels, [LABEL.remade]: 'true' });
    const addresses = (state: ContainerState): unknown =>
      Object.entries(state.networks).map(([name, { address }]) => [name, address]);
    expect(addresses(made)).toEqual(addresses(old));
    expect((await world.engine.observe(world.mine, bounds)).containers.map(({ name }) => name)).not.toContain(
      asideOf(spec.name),
    );
    await world.engine.startContainer(spec.name, bounds);
    await world.ended(spec);
    expect(await world.engine.logTail(spec.name, 5, bounds)).toEqual(['said']);
    await fails(world.engine.remakeContainer(spec.name, { platform: world.stranger }, bounds), 'ENGINE_CONFLICT');
    await fails(world.engine.remakeContainer(world.named('nobody'), world.mine, bounds), 'NOT_FOUND');
    const busy = await world.started(world.container('busy'));
    await fails(world.engine.remakeContainer(busy.name, world.mine, bounds), 'WRONG_STATE');
  });

  it('finishes the making of a container anew that was cut short, wherever it was', async () => {
    const name = world.named('place');
    const place = world.container('place', { name });
    const aside = world.container('place', { name: asideOf(name) });
    const there = async (): Promise<string[]> =>
      (await world.engine.observe(world.mine, bounds)).containers
        .map((one) => `${one.name} ${one.status}${LABEL.remade in one.labels ? ' anew' : ''}`)
        .toSorted();
    const left = async (): Promise<ContainerState> => {
      await world.started(aside);
      await world.engine.stopContainer(aside.name, 1, bounds);
      return await world.state(aside);
    };
    // Before the new one was made.
    await left();
    await world.engine.remakeContainer(name, world.mine, bounds);
    expect(await there()).toEqual([`${name} created anew`]);
    // Before the new one was whole: the old one is what is made anew.
    const half = await world.state(place);
    await left();
    await world.engine.remakeContainer(name, world.mine, bounds);
    expect(await there()).toEqual([`${name} created anew`]);
    expect((await world.state(place)).id).not.toBe(half.id);
    // Before the old one was removed, and somebody started the new one.
    await world.engine.startContainer(name, bounds);
    const made = await world.state(place);
    await left();
    await world.engine.remakeContainer(name, world.mine, bounds);
    expect(await there()).toEqual([`${name} running anew`]);
    expect((await world.state(place)).id).toBe(made.id);
    // The old one runs again, as after a reboot of its host, and the new one never did.
    await world.engine.removeContainer(name, world.mine, bounds);
    const old = await world.started(aside).then((spec) => world.state(spec));
    await world.engine.createContainer(place, bounds);
    await world.engine.remakeContainer(name, world.mine, bounds);
    expect(await there()).toEqual([`${name} running`]);
    expect((await world.state(place)).id).toBe(old.id);
    await fails(world.engine.remakeContainer(name, world.mine, bounds), 'WRONG_STATE');
    // Not ours to finish.
    await world.started({ ...aside, labels: { ...aside.labels, [LABEL.platform]: world.stranger } });
    await fails(world.engine.remakeContainer(name, world.mine, bounds), 'ENGINE_CONFLICT');
  });

  it('tells exit code and the last lines of the log', async () => {
    const lines = Array.from({ length: 30 }, (_, index) => `line ${index}`);
    const spec = await world.started(world.container('prints', { command: world.programs.print(3, ...lines) }));
    expect(await world.ended(spec)).toMatchObject({ exitCode: 3, oomKilled: false });
    expect(await world.engine.logTail(spec.name, 5, bounds)).toEqual(lines.slice(-5));
    expect(await world.engine.logTail(spec.name, 100, bounds)).toEqual(lines);
    const silent = world.container('silent');
    await world.engine.createContainer(silent, bounds);
    expect(await world.engine.logTail(silent.name, 5, bounds)).toEqual([]);
  });

  it('restarts under unless-stopped and counts it', async () => {
    const spec = await world.started(
      world.container('loops', { restart: 'unless-stopped', command: world.programs.print(1, 'again') }),
    );
    const seen = await waitFor(
      async () => {
        const now = await world.state(spec);
        return now.restartCount > 0 ? now : undefined;
      },
      { what: 'a restart', deadlineMs: 10 * SECONDS },
    );
    expect(seen.restartCount).toBeGreaterThan(0);
    await world.engine.stopContainer(spec.name, 1, bounds);
    expect(await world.state(spec)).toMatchObject({ status: 'exited', exitCode: 1 });
  });

  it('kills what ignores the stop signal once the grace is over', async () => {
    const spec = await world.started(world.container('stubborn', { command: world.programs.stubborn() }));
    await world.engine.stopContainer(spec.name, 1, bounds);
    expect(await world.state(spec)).toMatchObject({ status: 'exited', exitCode: 137, oomKilled: false });
  });

  it('brings a restart to its end also when its caller turns away', async () => {
    const spec = await world.started(world.container('again', { command: world.programs.stubborn() }));
    const before = await world.state(spec);
    await world.engine.restartContainer(spec.name, 0, bounds);
    const first = await world.state(spec);
    expect([first.id, first.status]).toEqual([before.id, 'running']);
    expect(first.startedAt).not.toBe(before.startedAt);
    await fails(world.engine.restartContainer(spec.name, 1, { deadlineMs: 150 }), 'DEADLINE_EXCEEDED');
    const ended = await waitFor(
      async () => {
        const now = await world.state(spec);
        return now.startedAt !== first.startedAt && now.status === 'running' ? now : undefined;
      },
      { what: 'the container started again', deadlineMs: 10 * SECONDS },
    );
    expect(ended.id).toBe(before.id);
    await world.engine.stopContainer(spec.name, 0, bounds);
    await world.engine.restartContainer(spec.name, 0, bounds);
    expect(await world.state(spec)).toMatchObject({ status: 'running' });
    await fails(world.engine.restartContainer(world.named('nobody'), 0, bounds), 'ENGINE_REFUSED');
  });

  it('ends at the deadline and when the caller aborts, and says which', async () => {
    const spec = await world.started(world.container('slow', { command: world.programs.stubborn() }));
    await fails(world.engine.stopContainer(spec.name, 20, { deadlineMs: 150 }), 'DEADLINE_EXCEEDED');
    const control = new AbortController();
    const stopping = world.engine.stopContainer(spec.name, 20, { ...bounds, signal: control.signal });
    control.abort();
    await fails(stopping, 'OPERATION_CANCELLED');
    await fails(world.engine.observe(world.mine, { ...bounds, signal: control.signal }), 'OPERATION_CANCELLED');
    const before = performance.now();
    await world.engine.removeContainer(spec.name, world.mine, bounds);
    expect(performance.now() - before).toBeLessThan(10 * SECONDS);
  });

  it('runs a helper to its end with input and output, and leaves nothing of it', async () => {
    const stdin = Array.from({ length: 2_000 }, (_, index) => `*filter line ${index}`).join('\n');
    const spec = world.helper('helper', { command: world.programs.cat(4), stdin: `${stdin}\n` });
    expect(await world.engine.runOnce(spec, bounds)).toEqual({ exitCode: 4, output: stdin });
    expect(await world.engine.runOnce(world.helper('helper'), bounds)).toEqual({ exitCode: 0, output: 'done' });
    expect((await world.engine.observe({ platform: world.platform }, bounds)).containers).toEqual([]);
  });

  it('removes a helper that does not end in time, and one left by a process that died', async () => {
    const hanging = world.helper('hangs', { command: world.programs.idle() });
    await fails(world.engine.runOnce(hanging, { deadlineMs: 1_500 }), 'DEADLINE_EXCEEDED');
    await waitFor(
      async () =>
        (await world.engine.observe({ platform: world.platform }, bounds)).containers.length === 0 ? true : undefined,
      { what: 'removal of the helper', deadlineMs: 10 * SECONDS },
    );
    await world.started(
      world.container('left', { name: world.named('hangs'), labels: { [LABEL.platform]: world.platform } }),
    );
    expect(await world.engine.runOnce(world.helper('hangs'), bounds)).toMatchObject({ exitCode: 0 });
    expect((await world.engine.observe({ platform: world.platform }, bounds)).containers).toEqual([]);
  });

  it('makes and starts several containers at once', async () => {
    const net = world.network('net');
    await world.engine.createNetwork(net, bounds);
    const specs = [5, 6, 7, 8].map((host) =>
      world.container(`many${host}`, { networks: [{ network: net.name, address: addressIn(net, host), aliases: [] }] }),
    );
    await Promise.all(specs.map((spec) => world.started(spec)));
    const { containers } = await world.engine.observe(world.mine, bounds);
    expect(containers.map(({ status }) => status)).toEqual(['running', 'running', 'running', 'running']);
  });
}
