import { waitFor } from '#libs/async';
import { LABEL, type EngineEvent, type ObjectEvent } from '../port.js';
import { SECONDS, addressIn, bounds, type ContractWorld } from './contract-world.js';
import { fails } from './expectations.js';

/** Follows in the background what the world's tenant is told. */
class Listener {
  readonly heard: EngineEvent[] = [];
  private readonly control = new AbortController();
  private readonly ended: Promise<void>;

  constructor(world: ContractWorld) {
    this.ended = this.listen(world);
  }

  /** Kinds of what was told of an object, oldest first. */
  of(name: string): string[] {
    return this.heard
      .filter((event): event is ObjectEvent => 'name' in event && event.name === name)
      .map((e) => e.kind);
  }

  async until(what: string, seen: () => boolean): Promise<void> {
    await waitFor(() => seen() || undefined, { what, deadlineMs: 10 * SECONDS });
  }

  async stop(): Promise<void> {
    this.control.abort();
    await this.ended;
  }

  private async listen(world: ContractWorld): Promise<void> {
    for await (const event of world.engine.events(world.mine, this.control.signal)) {
      this.heard.push(event);
    }
  }
}

export function eventsContract(world: ContractWorld): void {
  let listener: Listener;
  const follow = async (): Promise<void> => {
    listener = new Listener(world);
    await listener.until('the first resync', () => listener.heard.length > 0);
  };
  afterEach(() => listener?.stop());

  it('tells first that everything is to be looked at, then what happens to the owner’s containers', async () => {
    await follow();
    expect(listener.heard[0]).toEqual({ kind: 'resync' });
    const theirs = world.container('theirs', { labels: { [LABEL.platform]: world.stranger } });
    await world.started(theirs);
    const spec = await world.started(world.container('told', { command: world.programs.print(3, 'bye') }));
    await world.ended(spec);
    await world.engine.updateLimits(spec.name, { ...spec.limits, pids: 40 }, bounds);
    await world.engine.removeContainer(spec.name, world.mine, bounds);
    await listener.until('the removal', () => listener.of(spec.name).includes('container removed'));
    expect(listener.of(spec.name)).toEqual([
      'container started',
      'container died',
      'container changed',
      'container removed',
    ]);
    const died = listener.heard.find((event) => event.kind === 'container died');
    expect(died).toMatchObject({ exitCode: 3, labels: { [LABEL.tenant]: world.tenant } });
    expect(listener.of(theirs.name)).toEqual([]);
  });

  it('tells of a container that gets or loses a network, and of networks and volumes that go', async () => {
    await follow();
    const net = world.network('net');
    const volume = { name: world.named('data'), labels: world.labels() };
    await world.engine.createNetwork(net, bounds);
    await world.engine.createVolume(volume, bounds);
    const spec = await world.started(
      world.container('cut', { networks: [{ network: net.name, address: addressIn(net, 5), aliases: [] }] }),
    );
    const { id } = await world.state(spec);
    await world.engine.disconnectNetwork(spec.name, net.name, bounds);
    const again = { network: net.name, address: addressIn(net, 6), aliases: [] };
    await world.engine.connectNetwork(spec.name, again, bounds);
    await listener.until('the network’s return', () => listener.of(net.name).at(-1) === 'network connected');
    await world.engine.disconnectNetwork(spec.name, net.name, bounds);
    await world.engine.removeNetwork(net.name, world.mine, bounds);
    await world.engine.removeVolume(volume.name, world.mine, bounds);
    await listener.until('the volume’s removal', () => listener.of(volume.name).length > 0);
    for (const kind of ['network connected', 'network disconnected']) {
      const unnamed = { labels: null, exitCode: null };
      const event = { kind, name: net.name, at: expect.any(Date), containerId: id, ...unnamed };
      expect(listener.heard).toContainEqual(event);
    }
    expect(listener.of(net.name)).toContain('network removed');
    expect(listener.of(volume.name)).toEqual(['volume removed']);
  });

  it('ends when its caller does', async () => {
    await follow();
    await listener.stop();
    const { length } = listener.heard;
    await world.engine.createVolume({ name: world.named('late'), labels: world.labels() }, bounds);
    await world.engine.removeVolume(world.named('late'), world.mine, bounds);
    expect(listener.heard).toHaveLength(length);
  });

  it('shows that a stopped container still names a network that was made anew, and does not start it', async () => {
    const net = world.network('net');
    await world.engine.createNetwork(net, bounds);
    const spec = await world.started(
      world.container('stale', { networks: [{ network: net.name, address: addressIn(net, 5), aliases: [] }] }),
    );
    const networkId = async (): Promise<string | undefined> =>
      (await world.engine.observe(world.mine, bounds)).networks.find(({ name }) => name === net.name)?.id;
    expect((await world.state(spec)).networks[net.name]?.networkId).toBe(await networkId());
    await world.engine.stopContainer(spec.name, 1, bounds);
    await world.engine.removeNetwork(net.name, world.mine, bounds);
    await world.engine.createNetwork(net, bounds);
    expect((await world.state(spec)).networks[net.name]?.networkId).not.toBe(await networkId());
    await fails(world.engine.startContainer(spec.name, bounds), 'ENGINE_REFUSED');
  });
}
