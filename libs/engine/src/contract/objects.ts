import { randomUUID } from 'node:crypto';
import { LABEL } from '../port.js';
import { specHash } from '../spec-hash.js';
import { addressIn, bounds, type ContractWorld } from './contract-world.js';
import { fails } from './expectations.js';

export function objectsContract(world: ContractWorld): void {
  it('says what it is', async () => {
    const info = await world.engine.info(bounds);
    expect(info.id).not.toBe('');
    expect(info.apiVersion).toMatch(/^\d+\.\d+$/);
    expect(info.cpus).toBeGreaterThan(0);
    expect(info.memoryBytes).toBeGreaterThan(64 * 1024 * 1024);
    expect(['1', '2']).toContain(info.cgroupVersion);
  });

  it('knows the images it has and says of others that it has not', async () => {
    const id = await world.engine.imageId(world.image, bounds);
    expect(id).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(await world.engine.imageId(id ?? '', bounds)).toBe(id);
    expect(await world.engine.imageId('example.org/no/such:image', bounds)).toBeNull();
    const environment = await world.engine.imageEnvironment(world.image, bounds);
    expect(Object.values(environment ?? { none: 0 }).every((value) => typeof value === 'string')).toBe(true);
    expect(await world.engine.imageEnvironment(id ?? '', bounds)).toEqual(environment);
    expect(await world.engine.imageEnvironment('example.org/no/such:image', bounds)).toBeNull();
  });

  it('makes networks and volumes that observe shows with their labels', async () => {
    const net = world.network('net');
    await world.engine.createNetwork(net, bounds);
    await world.engine.createVolume(
      { name: world.named('data-1'), labels: world.labels({ [LABEL.role]: 'data' }) },
      bounds,
    );
    const seen = await world.engine.observe(world.mine, bounds);
    expect(seen.containers).toEqual([]);
    expect(seen.networks).toEqual([
      expect.objectContaining({ name: net.name, subnet: net.subnet, internal: true, labels: net.labels }),
    ]);
    expect(seen.volumes).toEqual([{ name: world.named('data-1'), labels: world.labels({ [LABEL.role]: 'data' }) }]);
  });

  it('makes a container on two networks with static addresses and its limits, not yet started', async () => {
    const [first, second] = [world.network('edge', { internal: false, icc: false }), world.network('inner')];
    await world.engine.createNetwork(first, bounds);
    await world.engine.createNetwork(second, bounds);
    const spec = world.container('two', {
      networks: [
        { network: first.name, address: addressIn(first, 5), aliases: [] },
        { network: second.name, address: addressIn(second, 6), aliases: ['two'] },
      ],
    });
    await world.engine.createContainer(spec, bounds);
    const made = await world.state(spec);
    expect(made).toMatchObject({
      status: 'created',
      exitCode: null,
      startedAt: null,
      limits: spec.limits,
      restartCount: 0,
    });
    expect(made.imageId).toBe(await world.engine.imageId(world.image, bounds));
    expect(made.labels).toMatchObject({ ...spec.labels, [LABEL.specHash]: specHash(spec) });

    await world.engine.startContainer(spec.name, bounds);
    const running = await world.state(spec);
    expect(running).toMatchObject({ status: 'running', exitCode: null });
    expect(Date.parse(running.startedAt ?? '')).not.toBeNaN();
    expect(running.networks).toMatchObject({
      [first.name]: { address: addressIn(first, 5) },
      [second.name]: { address: addressIn(second, 6) },
    });
  });

  it('keeps static addresses over stop and start', async () => {
    const net = world.network('net');
    await world.engine.createNetwork(net, bounds);
    const spec = await world.started(
      world.container('stay', { networks: [{ network: net.name, address: addressIn(net, 7), aliases: [] }] }),
    );
    await world.engine.stopContainer(spec.name, 5, bounds);
    await world.engine.startContainer(spec.name, bounds);
    expect((await world.state(spec)).networks[net.name]?.address).toBe(addressIn(net, 7));
  });

  it('refuses an address that a running container holds, and gives it once that one is stopped', async () => {
    const net = world.network('net');
    await world.engine.createNetwork(net, bounds);
    const networks = [{ network: net.name, address: addressIn(net, 8), aliases: [] }];
    const holder = await world.started(world.container('holder', { networks }));
    const late = world.container('late', { networks });
    await world.engine.createContainer(late, bounds);
    await fails(world.engine.startContainer(late.name, bounds), 'NO_CAPACITY');
    await world.engine.stopContainer(holder.name, 5, bounds);
    await world.engine.startContainer(late.name, bounds);
    expect((await world.state(late)).status).toBe('running');
    await fails(world.engine.startContainer(holder.name, bounds), 'NO_CAPACITY');
  });

  it('makes a network once that many ask for at once', async () => {
    for (let round = 0; round < 5; round += 1) {
      const net = world.network(`at-once-${round}`);
      await Promise.all(Array.from({ length: 8 }, () => world.engine.createNetwork(net, bounds)));
      const { networks } = await world.engine.observe(world.mine, bounds);
      expect(networks.filter(({ name }) => name === net.name)).toHaveLength(1);
      await world.engine.removeNetwork(net.name, world.mine, bounds);
    }
  });

  it('refuses a subnet that overlaps another network’s', async () => {
    const net = world.network('net');
    await world.engine.createNetwork(net, bounds);
    const other = world.network('other', { subnet: net.subnet, gateway: net.gateway, ipRange: undefined });
    await fails(world.engine.createNetwork(other, bounds), 'NO_CAPACITY');
  });

  it('does everything twice with the effect of once', async () => {
    const net = world.network('net');
    const inner = world.network('inner');
    const volume = { name: world.named('data'), labels: world.labels({ [LABEL.role]: 'data' }) };
    const spec = world.container('twice', {
      networks: [
        { network: net.name, address: addressIn(net, 5), aliases: ['twice'] },
        { network: inner.name, address: addressIn(inner, 5), aliases: ['twice'] },
      ],
      mounts: [{ volume: volume.name, target: '/data', readOnly: false }],
    });
    const twice = async (work: () => Promise<unknown>): Promise<void> => {
      await work();
      await work();
    };
    await twice(() => world.engine.createNetwork(net, bounds));
    await world.engine.createNetwork(inner, bounds);
    await twice(() => world.engine.createVolume(volume, bounds));
    await twice(() => world.engine.createContainer(spec, bounds));
    const { id } = await world.state(spec);
    await twice(() => world.engine.startContainer(spec.name, bounds));
    const first = await world.state(spec);
    await world.engine.startContainer(spec.name, bounds);
    await world.engine.createContainer(spec, bounds);
    expect(await world.state(spec)).toEqual(first);
    expect(first.id).toBe(id);
    await twice(() => world.engine.stopContainer(spec.name, 5, bounds));
    await twice(() => world.engine.removeContainer(spec.name, world.mine, bounds));
    await world.engine.stopContainer(spec.name, 5, bounds);
    await twice(() => world.engine.removeNetwork(net.name, world.mine, bounds));
    await world.engine.removeNetwork(inner.name, world.mine, bounds);
    await twice(() => world.engine.removeVolume(volume.name, world.mine, bounds));
    expect(await world.engine.observe(world.mine, bounds)).toEqual({ containers: [], networks: [], volumes: [] });
  });

  it('completes a container that was made but not yet connected everywhere', async () => {
    const [first, second] = [world.network('edge'), world.network('inner')];
    await world.engine.createNetwork(first, bounds);
    await world.engine.createNetwork(second, bounds);
    const spec = world.container('half', {
      networks: [
        { network: first.name, address: addressIn(first, 5), aliases: [] },
        { network: second.name, address: addressIn(second, 5), aliases: [] },
      ],
    });
    await world.engine.createContainer(spec, bounds);
    await world.engine.disconnectNetwork(spec.name, second.name, bounds);
    expect(Object.keys((await world.state(spec)).networks)).toEqual([first.name]);
    await world.engine.createContainer(spec, bounds);
    await world.engine.startContainer(spec.name, bounds);
    expect((await world.state(spec)).networks).toMatchObject({
      [first.name]: { address: addressIn(first, 5) },
      [second.name]: { address: addressIn(second, 5) },
    });
  });

  it('refuses to start what misses a network', async () => {
    const [first, second] = [world.network('edge'), world.network('inner')];
    await world.engine.createNetwork(first, bounds);
    const spec = world.container('lonely', {
      networks: [
        { network: first.name, address: addressIn(first, 5), aliases: [] },
        { network: second.name, address: addressIn(second, 5), aliases: [] },
      ],
    });
    await world.engine.createContainer(spec, bounds);
    await fails(world.engine.startContainer(spec.name, bounds), 'ENGINE_REFUSED');
    expect((await world.state(spec)).status).not.toBe('running');
  });

  it('answers ENGINE_CONFLICT where the name is held by something else', async () => {
    const net = world.network('net');
    await world.engine.createNetwork(net, bounds);
    await fails(world.engine.createNetwork({ ...world.network('other'), name: net.name }, bounds), 'ENGINE_CONFLICT');
    await fails(
      world.engine.createNetwork({ ...net, labels: world.labels({ [LABEL.tenant]: randomUUID() }) }, bounds),
      'ENGINE_CONFLICT',
    );
    await world.engine.createVolume({ name: world.named('data'), labels: world.labels() }, bounds);
    await fails(
      world.engine.createVolume(
        { name: world.named('data'), labels: world.labels({ [LABEL.platform]: world.stranger }) },
        bounds,
      ),
      'ENGINE_CONFLICT',
    );
    const spec = world.container('taken');
    await world.engine.createContainer(spec, bounds);
    await fails(
      world.engine.createContainer({ ...spec, environment: { GREETING: 'other' } }, bounds),
      'ENGINE_CONFLICT',
    );
    await fails(
      world.engine.createContainer({ ...spec, labels: { ...spec.labels, [LABEL.generation]: '2' } }, bounds),
      'ENGINE_CONFLICT',
    );
    // limits and restart are changed in place, so they make no other container
    await world.engine.createContainer(
      { ...spec, limits: { ...spec.limits, pids: 40 }, restart: 'unless-stopped' },
      bounds,
    );
    expect((await world.state(spec)).limits.pids).toBe(32);
  });

  it('lets a network or volume of an earlier generation count, since they outlive generations', async () => {
    const net = world.network('net');
    await world.engine.createNetwork(net, bounds);
    await world.engine.createVolume({ name: world.named('data'), labels: world.labels() }, bounds);
    const later = { [LABEL.generation]: '7' };
    await world.engine.createNetwork({ ...net, labels: { ...net.labels, ...later } }, bounds);
    await world.engine.createVolume({ name: world.named('data'), labels: world.labels(later) }, bounds);
    const seen = await world.engine.observe(world.mine, bounds);
    expect(seen.volumes[0]?.labels[LABEL.generation]).toBe('1');
  });

  it('never shows nor removes what another platform or tenant owns', async () => {
    const foreign = { [LABEL.platform]: world.stranger, [LABEL.tenant]: world.tenant };
    const net = world.network('theirs', { labels: foreign });
    const volume = { name: world.named('theirs'), labels: foreign };
    const spec = world.container('theirs', { labels: foreign });
    await world.engine.createNetwork(net, bounds);
    await world.engine.createVolume(volume, bounds);
    await world.engine.createContainer(spec, bounds);
    expect(await world.engine.observe(world.mine, bounds)).toEqual({ containers: [], networks: [], volumes: [] });
    const owners = [
      world.mine,
      { platform: world.platform },
      { platform: world.stranger, tenant: randomUUID() },
      { platform: '' },
    ];
    for (const owner of owners) {
      await fails(world.engine.removeContainer(spec.name, owner, bounds), 'ENGINE_CONFLICT');
      await fails(world.engine.removeNetwork(net.name, owner, bounds), 'ENGINE_CONFLICT');
      await fails(world.engine.removeVolume(volume.name, owner, bounds), 'ENGINE_CONFLICT');
    }
    await fails(world.engine.runOnce(world.helper('theirs'), bounds), 'ENGINE_CONFLICT');
    const theirs = await world.engine.observe({ platform: world.stranger }, bounds);
    expect(theirs.containers.map((one) => one.name)).toEqual([spec.name]);
    expect(theirs.networks.map((one) => one.name)).toEqual([net.name]);
    expect(theirs.volumes.map((one) => one.name)).toEqual([volume.name]);
  });

  it('shows a platform the objects of its tenants and those that are nobody’s', async () => {
    await world.engine.createVolume(
      { name: world.named('shared'), labels: { [LABEL.platform]: world.platform } },
      bounds,
    );
    await world.engine.createVolume({ name: world.named('owned'), labels: world.labels() }, bounds);
    const names = async (owner: { platform: string; tenant?: string }): Promise<string[]> =>
      (await world.engine.observe(owner, bounds)).volumes.map((one) => one.name).sort();
    expect(await names({ platform: world.platform })).toEqual([world.named('owned'), world.named('shared')]);
    expect(await names(world.mine)).toEqual([world.named('owned')]);
  });

  it('says IMAGE_MISSING and makes nothing', async () => {
    const spec = world.container('noimage', { image: 'example.org/no/such:image' });
    await fails(world.engine.createContainer(spec, bounds), 'IMAGE_MISSING');
    await fails(world.engine.runOnce(world.helper('noimage', { image: spec.image }), bounds), 'IMAGE_MISSING');
    expect((await world.engine.observe({ platform: world.platform }, bounds)).containers).toEqual([]);
  });

  it('refuses a root user, missing limits and missing labels', async () => {
    for (const user of ['0:0', '0:10001', 'root', '10001', '']) {
      await fails(world.engine.createContainer(world.container('root', { user }), bounds), 'ENGINE_REFUSED');
    }
    const unlimited = { cpus: 1, memoryBytes: 0, pids: 10 };
    await fails(
      world.engine.createContainer(world.container('unlimited', { limits: unlimited }), bounds),
      'ENGINE_REFUSED',
    );
    await fails(world.engine.createContainer(world.container('unlabelled', { labels: {} }), bounds), 'ENGINE_REFUSED');
    await fails(world.engine.createNetwork(world.network('unlabelled', { labels: {} }), bounds), 'ENGINE_REFUSED');
    await fails(world.engine.createVolume({ name: world.named('unlabelled'), labels: {} }, bounds), 'ENGINE_REFUSED');
  });

  it('connects and disconnects a running container', async () => {
    const [first, second] = [world.network('edge'), world.network('inner')];
    await world.engine.createNetwork(first, bounds);
    await world.engine.createNetwork(second, bounds);
    const spec = await world.started(
      world.container('moves', { networks: [{ network: first.name, address: addressIn(first, 5), aliases: [] }] }),
    );
    const attachment = { network: second.name, address: addressIn(second, 9), aliases: ['moves'] };
    await world.engine.connectNetwork(spec.name, attachment, bounds);
    await world.engine.connectNetwork(spec.name, attachment, bounds);
    expect((await world.state(spec)).networks[second.name]).toMatchObject({ address: addressIn(second, 9) });
    await fails(
      world.engine.connectNetwork(spec.name, { ...attachment, address: addressIn(second, 10) }, bounds),
      'ENGINE_CONFLICT',
    );
    await world.engine.disconnectNetwork(spec.name, second.name, bounds);
    await world.engine.disconnectNetwork(spec.name, second.name, bounds);
    expect(Object.keys((await world.state(spec)).networks)).toEqual([first.name]);
  });

  it('removes a network that a container is still on', async () => {
    const net = world.network('net');
    await world.engine.createNetwork(net, bounds);
    const spec = await world.started(
      world.container('left', { networks: [{ network: net.name, address: addressIn(net, 5), aliases: [] }] }),
    );
    await world.engine.removeNetwork(net.name, world.mine, bounds);
    expect((await world.engine.observe(world.mine, bounds)).networks).toEqual([]);
    expect((await world.state(spec)).status).toBe('running');
  });
}
