import { LABEL } from '../port.js';
import { bounds, type ContractWorld } from './contract-world.js';
import { fails } from './expectations.js';

export function filesContract(world: ContractWorld): void {
  it('puts files into a volume with their mode and owner, also where it is mounted read-only', async () => {
    for (const readOnly of [false, true]) {
      const rest = readOnly ? 'reads' : 'writes';
      const volume = { name: world.named(rest), labels: world.labels({ [LABEL.role]: 'secrets' }) };
      const spec = world.container(rest, {
        mounts: [{ volume: volume.name, target: '/run/aviary', readOnly }],
        command: world.programs.show('/run/aviary/password', '/run/aviary/deep/down/spec.json'),
      });
      await world.engine.createVolume(volume, bounds);
      await world.engine.createContainer(spec, bounds);
      const owner = { mode: 0o400, uid: 10001, gid: 10001 };
      const files = [
        { path: 'password', content: 'first', ...owner },
        { path: 'deep/down/spec.json', content: Buffer.from('{"ü":1}'), ...owner },
      ];
      await world.engine.putFiles(spec.name, '/run/aviary', files, bounds);
      await world.engine.putFiles(
        spec.name,
        '/run/aviary',
        [{ path: 'password', content: 'second\n', ...owner }],
        bounds,
      );
      const read = async (): Promise<unknown> =>
        (await world.engine.readFiles(spec.name, '/run/aviary', bounds))
          .toSorted((a, b) => a.path.localeCompare(b.path))
          .map((file) => ({ ...file, content: file.content.toString() }));
      const delivered = [
        { path: 'deep/down/spec.json', content: '{"ü":1}', ...owner },
        { path: 'password', content: 'second\n', ...owner },
      ];
      expect(await read()).toEqual(delivered);
      await world.engine.startContainer(spec.name, bounds);
      expect(await world.ended(spec)).toMatchObject({ exitCode: 0 });
      expect(await read()).toEqual(delivered);
      expect(await world.engine.readFiles(spec.name, '/run/nowhere', bounds)).toEqual([]);
      expect(await world.engine.logTail(spec.name, 10, bounds)).toEqual([
        '400 10001:10001',
        'second',
        '400 10001:10001',
        '{"ü":1}',
      ]);
    }
    const { containers } = await world.engine.observe(world.mine, bounds);
    expect(containers.map((one) => one.name).sort()).toEqual([world.named('reads'), world.named('writes')]);
  });

  it('fills several volumes in one go, before there is any container of theirs', async () => {
    const owner = { mode: 0o400, uid: 10001, gid: 10001 };
    const volumes = ['one', 'two', 'three'].map((rest) => ({ name: world.named(rest), labels: world.labels() }));
    const filling = {
      name: world.named('courier'),
      labels: world.labels(),
      image: world.image,
      volumes: volumes.map(({ name }) => ({
        volume: name,
        files: [
          { path: 'name', content: name, ...owner },
          { path: 'folder/again', content: `${name}\n`, ...owner },
        ],
      })),
    };
    await fails(world.engine.fillVolumes(filling, bounds), 'ENGINE_REFUSED');
    await Promise.all(volumes.map((volume) => world.engine.createVolume(volume, bounds)));
    await world.engine.fillVolumes(filling, bounds);
    await world.engine.fillVolumes(filling, bounds);
    expect((await world.engine.observe({ platform: world.platform }, bounds)).containers).toEqual([]);
    for (const { name } of volumes) {
      const spec = await world.started(
        world.container(`reads-${name}`, {
          mounts: [{ volume: name, target: '/run/aviary', readOnly: true }],
          command: world.programs.show('/run/aviary/name', '/run/aviary/folder/again'),
        }),
      );
      expect(await world.ended(spec)).toMatchObject({ exitCode: 0 });
      const shown = ['400 10001:10001', name];
      expect(await world.engine.logTail(spec.name, 10, bounds)).toEqual([...shown, ...shown]);
    }
  });

  it('takes the place of a courier left by a crash, and of nothing foreign', async () => {
    const volume = { name: world.named('data'), labels: world.labels() };
    await world.engine.createVolume(volume, bounds);
    const file = { path: 'a', content: 'x', mode: 0o400, uid: 10001, gid: 10001 };
    const filling = {
      name: world.named('courier'),
      labels: world.labels(),
      image: world.image,
      volumes: [{ volume: volume.name, files: [file] }],
    };
    await world.engine.createContainer(world.container('courier'), bounds);
    await world.engine.fillVolumes(filling, bounds);
    expect((await world.engine.observe(world.mine, bounds)).containers).toEqual([]);
    const foreign = { [LABEL.platform]: world.stranger };
    await world.engine.createContainer(world.container('courier', { labels: foreign }), bounds);
    await fails(world.engine.fillVolumes(filling, bounds), 'ENGINE_CONFLICT');
    expect((await world.engine.observe({ platform: world.stranger }, bounds)).containers).toHaveLength(1);
  });

  it('keeps another user from reading such a file', async () => {
    const volume = { name: world.named('secrets'), labels: world.labels() };
    const spec = world.container('nosy', {
      user: '10002:10002',
      mounts: [{ volume: volume.name, target: '/run/aviary', readOnly: true }],
      command: world.programs.show('/run/aviary/password'),
    });
    await world.engine.createVolume(volume, bounds);
    await world.engine.createContainer(spec, bounds);
    const file = { path: 'password', content: 'x', mode: 0o400, uid: 10001, gid: 10001 };
    await world.engine.putFiles(spec.name, '/run/aviary', [file], bounds);
    await world.engine.startContainer(spec.name, bounds);
    expect(await world.ended(spec)).toMatchObject({ exitCode: 1 });
  });

  it('refuses files outside the volume and where no volume is', async () => {
    const volume = { name: world.named('data'), labels: world.labels() };
    const spec = world.container('files', { mounts: [{ volume: volume.name, target: '/data', readOnly: false }] });
    await world.engine.createVolume(volume, bounds);
    await world.engine.createContainer(spec, bounds);
    const file = { content: 'x', mode: 0o400, uid: 10001, gid: 10001 };
    for (const path of ['../escape', '/etc/passwd', 'a/../../b', '']) {
      await fails(world.engine.putFiles(spec.name, '/data', [{ ...file, path }], bounds), 'ENGINE_REFUSED');
    }
    await fails(world.engine.putFiles(spec.name, '/tmp', [{ ...file, path: 'x' }], bounds), 'ENGINE_REFUSED');
  });

  it('refuses a container whose volume is missing rather than giving it an empty one', async () => {
    const spec = world.container('nodata', {
      mounts: [{ volume: world.named('gone'), target: '/data', readOnly: false }],
    });
    await fails(world.engine.createContainer(spec, bounds), 'ENGINE_REFUSED');
    expect(await world.engine.observe(world.mine, bounds)).toEqual({ containers: [], networks: [], volumes: [] });
  });

  it('keeps the volume and its files when its container goes, and refuses to remove it before', async () => {
    const volume = { name: world.named('kept'), labels: world.labels() };
    const mounts = [{ volume: volume.name, target: '/data', readOnly: false }];
    await world.engine.createVolume(volume, bounds);
    const writer = world.container('writer', { mounts });
    await world.engine.createContainer(writer, bounds);
    const file = { path: 'ledger', content: 'kept', mode: 0o400, uid: 10001, gid: 10001 };
    await world.engine.putFiles(writer.name, '/data', [file], bounds);
    await fails(world.engine.removeVolume(volume.name, world.mine, bounds), 'ENGINE_CONFLICT');
    await world.engine.removeContainer(writer.name, world.mine, bounds);
    const reader = await world.started(
      world.container('reader', { mounts, command: world.programs.show('/data/ledger') }),
    );
    await world.ended(reader);
    expect(await world.engine.logTail(reader.name, 10, bounds)).toEqual(['400 10001:10001', 'kept']);
  });
}
