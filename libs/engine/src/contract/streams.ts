import { createHash, randomBytes, type Hash } from 'node:crypto';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { extract, pack as tarPack } from 'tar-stream';
import type { ContainerSpec, Owner } from '../port.js';
import type { EngineStreams, ExecStreams } from '../stream-port.js';
import { ContractWorld, bounds, type ContractHarness } from './contract-world.js';
import { fails } from './expectations.js';

export interface StreamsHarness extends ContractHarness {
  streams: EngineStreams;
  /** Breaks every connection to the engine in the middle of what it carries. */
  cut(): void;
  /** Of files in a container. */
  user: { uid: number; gid: number };
  /** Made before a container that has the folder `/data`, for who must. */
  dataOf?(container: string): Promise<void>;
}

const MIB = 1024 ** 2;
const never = new AbortController().signal;
const sh = (script: string): string[] => ['sh', '-c', script];

/** What every engine owes whoever moves gigabytes through it. Programs are lines of POSIX shell everywhere. */
export function streamsContract(name: string, prepare: () => Promise<StreamsHarness>): void {
  describe(`streams contract: ${name}`, () => {
    let harness: StreamsHarness;
    const world = new ContractWorld(async () => (harness = await prepare()));
    beforeAll(() => world.open());
    afterEach(() => world.clear());
    afterAll(() => world.close());

    const made = async (rest: string): Promise<ContainerSpec> => {
      const volume = { name: world.named(rest), labels: world.labels() };
      const spec = world.container(rest, { mounts: [{ volume: volume.name, target: '/data', readOnly: false }] });
      await harness.dataOf?.(spec.name);
      await world.engine.createVolume(volume, bounds);
      await world.engine.createContainer(spec, bounds);
      return spec;
    };
    const user = (): string => `${harness.user.uid}:${harness.user.gid}`;
    const exec = (
      { name: container }: ContainerSpec,
      command: readonly string[],
      { signal = never, owner = world.mine }: { signal?: AbortSignal; owner?: Owner } = {},
    ): Promise<ExecStreams> => harness.streams.exec(container, owner, { command, user: user() }, signal);
    const packed = async ({ name: container }: ContainerSpec): Promise<Buffer> =>
      buffer(await harness.streams.pack(container, world.mine, '/data', never));
    const unpack = ({ name: container }: ContainerSpec, tar: Readable, signal = never): Promise<void> =>
      harness.streams.unpack(container, world.mine, { folder: '/data', tar }, signal);

    it('tells output, exit code and the end of what was said, as that user, with what its environment is given', async () => {
      const spec = await world.started(world.container('says'));
      const small = await exec(spec, sh('id -u; echo out; echo err >&2; exit 3'));
      expect(await text(small.output)).toBe(`${harness.user.uid}\nout\n`);
      expect(await small.ended).toEqual({ exitCode: 3, said: 'err' });
      const environment = { GIVEN: 'a=b c' };
      const wish = { command: sh('echo "$GIVEN" "${PATH:+beside}"'), user: user(), environment };
      const given = await harness.streams.exec(spec.name, world.mine, wish, never);
      expect(await text(given.output)).toBe('a=b c beside\n');
      expect(await given.ended).toEqual({ exitCode: 0, said: '' });
      const chatty = await exec(spec, sh('seq 1 20000 >&2'));
      expect(await text(chatty.output)).toBe('');
      const { exitCode, said } = await chatty.ended;
      expect([exitCode, said.endsWith('19999\n20000'), Buffer.byteLength(said) <= 4_096]).toEqual([0, true, true]);
    });

    it('carries megabytes through a process unchanged, and their end', async () => {
      const spec = await world.started(world.container('carries'));
      const { input, output, ended } = await exec(spec, ['cat']);
      const [sent, got] = [createHash('sha256'), createHash('sha256')];
      let bytes = 0;
      const source = Readable.from(
        (function* (): Generator<Buffer> {
          for (let at = 0; at < 40; at += 1) {
            const part = randomBytes(200_000 + at);
            sent.update(part);
            yield part;
          }
        })(),
      );
      await Promise.all([
        pipeline(source, input),
        (async () => {
          for await (const chunk of output as AsyncIterable<Buffer>) {
            bytes += chunk.length;
            got.update(chunk);
          }
        })(),
      ]);
      expect(await ended).toEqual({ exitCode: 0, said: '' });
      expect([bytes, got.digest('hex')]).toEqual([40 * 200_000 + (39 * 40) / 2, sent.digest('hex')]);
    });

    it('gives each chunk of an output memory of its own, so that its reader may give that back', async () => {
      const spec = await world.started(world.container('owns'));
      const { input, output, ended } = await exec(spec, sh(`head -c ${8 * MIB} /dev/zero; echo told >&2`));
      input.end();
      const seen = new Set<ArrayBufferLike>();
      let [large, bytes] = [0, 0];
      output.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (chunk.length >= Buffer.poolSize / 2) {
          large += 1;
          seen.add(chunk.buffer);
        }
      });
      await once(output, 'end');
      expect(await ended).toEqual({ exitCode: 0, said: 'told' });
      expect(bytes).toBe(8 * MIB);
      expect(large).toBeGreaterThan(0);
      expect(seen.size).toBe(large);
    });

    it('holds no more of a large output than its reader takes', async () => {
      const spec = await world.started(world.container('pours'));
      const { input, output, ended } = await exec(spec, sh(`head -c ${300 * MIB} /dev/zero`));
      input.end();
      const before = process.memoryUsage();
      let most = 0;
      let bytes = 0;
      const look = (): void => {
        const { rss, external, heapUsed } = process.memoryUsage();
        most = Math.max(most, rss - before.rss, external + heapUsed - before.external - before.heapUsed);
      };
      for await (const chunk of output as AsyncIterable<Buffer>) {
        bytes += chunk.length;
        // The producer would have written all of it in this time. Afterwards memory says how much was not collected yet.
        if (bytes < 4 * MIB) {
          await pause(50);
          look();
        }
      }
      expect(await ended).toEqual({ exitCode: 0, said: '' });
      expect(bytes).toBe(300 * MIB);
      expect(most).toBeLessThan(120 * MIB);
    });

    it('ends at once when its caller aborts', async () => {
      const spec = await world.started(world.container('aborts'));
      const control = new AbortController();
      const { input, output, ended } = await exec(spec, ['cat'], { signal: control.signal });
      const writing = pipeline(endless(), input);
      const reading = buffer(output);
      writing.catch(() => undefined);
      reading.catch(() => undefined);
      await pause(100);
      const started = performance.now();
      control.abort();
      await fails(ended, 'OPERATION_CANCELLED');
      await expect(writing).rejects.toThrow();
      await fails(reading, 'OPERATION_CANCELLED');
      expect(performance.now() - started).toBeLessThan(2_000);
      await fails(exec(spec, ['cat'], { signal: control.signal }), 'OPERATION_CANCELLED');
      const packing = new AbortController();
      const tar = await harness.streams.pack(spec.name, world.mine, '/etc', packing.signal);
      packing.abort();
      await fails(buffer(tar), 'OPERATION_CANCELLED');
    });

    it('tells of a process that a signal killed, that is not there, or that did not read what it got', async () => {
      const spec = await world.started(world.container('dies'));
      const killed = await exec(spec, sh('echo some; kill -KILL $$'));
      expect(await text(killed.output)).toBe('some\n');
      expect(await killed.ended).toMatchObject({ exitCode: 137 });
      const nobody = await exec(spec, ['no-such-program']);
      nobody.output.resume();
      expect([126, 127]).toContain((await nobody.ended).exitCode);
      // Again and again: whether the writer or the reader learns of it first is a matter of luck.
      for (let round = 0; round < 15; round += 1) {
        const refuses = await exec(spec, sh('head -c 1000 >/dev/null; echo enough >&2; exit 4'));
        refuses.output.on('error', () => undefined).resume();
        const writing = pipeline(endless(), refuses.input);
        await expect(writing).rejects.toThrow();
        expect(await refuses.ended).toMatchObject({ exitCode: 4 });
      }
    });

    it('finds no container that is not there or not the owner’s, and starts nothing in one that does not run', async () => {
      const spec = await made('stands');
      const stranger: Owner = { platform: world.stranger };
      const another: Owner = { ...world.mine, tenant: world.stranger };
      for (const owner of [stranger, another]) {
        await fails(exec(spec, ['true'], { owner }), 'NOT_FOUND');
        await fails(harness.streams.pack(spec.name, owner, '/data', never), 'NOT_FOUND');
        await fails(harness.streams.unpack(spec.name, owner, { folder: '/data', tar: tarOf([]) }, never), 'NOT_FOUND');
      }
      await fails(exec({ ...spec, name: world.named('nobody') }, ['true']), 'NOT_FOUND');
      await fails(exec(spec, ['true']), 'ENGINE_CONFLICT');
      await fails(harness.streams.pack(spec.name, world.mine, '/nowhere', never), 'ENGINE_REFUSED');
    });

    it('packs a folder and unpacks it into another, content, modes and owners', async () => {
      const files = [
        { name: 'deep/down/ledger', mode: 0o640, content: randomBytes(3 * MIB) },
        { name: 'a note', mode: 0o400, content: Buffer.from('ü') },
        { name: 'empty', mode: 0o644, content: Buffer.alloc(0) },
      ];
      const [one, two] = [await made('one'), await made('two')];
      await unpack(one, tarOf(files.map((file) => ({ ...file, ...harness.user }))));
      await unpack(two, Readable.from([await packed(one)]));
      const [first, second] = [await entriesOf(await packed(one)), await entriesOf(await packed(two))];
      expect(second).toEqual(first);
      const { uid, gid } = harness.user;
      expect(first).toMatchObject(
        Object.fromEntries(
          files.map(({ name: path, mode, content }) => [
            path,
            { mode, uid, gid, sha256: createHash('sha256').update(content).digest('hex') },
          ]),
        ),
      );
      expect(first['deep/down']).toMatchObject({ mode: 0o750, uid, gid });
      await world.engine.startContainer(two.name, bounds);
      await fails(unpack(two, tarOf([])), 'WRONG_STATE');
    });

    it('takes no tar for whole that breaks off or is cut short', async () => {
      const spec = await made('cut');
      const whole = await buffer(
        tarOf([{ name: 'half', mode: 0o600, content: randomBytes(2 * MIB), ...harness.user }]),
      );
      const breaks = async function* (): AsyncGenerator<Buffer> {
        yield whole.subarray(0, MIB);
        await pause(20);
        throw new Error('the repository broke off');
      };
      await expect(unpack(spec, Readable.from(breaks()))).rejects.toThrow('the repository broke off');
      await expect(unpack(spec, Readable.from([whole.subarray(0, MIB)]))).rejects.toMatchObject({
        name: 'DomainError',
      });
      // Between two files: for a reader of tars this is a shorter one.
      await expect(unpack(spec, Readable.from([whole.subarray(0, 512 + 2 * MIB)]))).rejects.toMatchObject({
        name: 'DomainError',
      });
      const control = new AbortController();
      const waits = unpack(spec, Readable.from(stalls(whole.subarray(0, MIB))), control.signal);
      await pause(100);
      control.abort();
      await fails(waits, 'OPERATION_CANCELLED');
    });

    it('rejects what an engine that breaks off was carrying', async () => {
      const spec = await world.started(world.container('breaks'));
      const { output, ended } = await exec(spec, sh('echo begun; exec sleep 60'));
      const chunks = output[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
      expect(String((await chunks.next()).value)).toBe('begun\n');
      const next = chunks.next();
      harness.cut();
      await fails(next, 'ENGINE_UNREACHABLE');
      await fails(ended, 'ENGINE_UNREACHABLE');
      const full = await made('full');
      await unpack(full, tarOf([{ name: 'much', mode: 0o600, content: randomBytes(20 * MIB), ...harness.user }]));
      const tar = await harness.streams.pack(full.name, world.mine, '/data', never);
      await new Promise((resolve) => tar.once('readable', resolve));
      harness.cut();
      await fails(buffer(tar), 'ENGINE_UNREACHABLE');
      const filling = unpack(full, Readable.from(stalls(randomBytes(MIB))));
      await pause(200);
      harness.cut();
      await fails(filling, 'ENGINE_UNREACHABLE');
    });
  });
}

function* endless(): Generator<Buffer> {
  for (;;) {
    yield Buffer.alloc(64 * 1024);
  }
}

async function* stalls(begin: Buffer): AsyncGenerator<Buffer> {
  yield begin;
  await pause(60_000, undefined, { ref: false });
}

function tarOf(files: readonly { name: string; mode: number; uid: number; gid: number; content: Buffer }[]): Readable {
  const tar = tarPack();
  for (const { name, content, ...header } of files) {
    const folders = name.split('/').slice(0, -1);
    folders.forEach((_, at) => {
      tar.entry({ ...header, name: `./${folders.slice(0, at + 1).join('/')}/`, type: 'directory', mode: 0o750 });
    });
    tar.entry({ ...header, name: `./${name}` }, content);
  }
  tar.finalize();
  return Readable.from(tar);
}

async function entriesOf(tar: Buffer): Promise<Record<string, unknown>> {
  const entries = extract();
  Readable.from([tar]).pipe(entries);
  const found: Record<string, unknown> = {};
  for await (const entry of entries) {
    const { name, mode, uid, gid, type } = entry.header;
    const hash: Hash = createHash('sha256');
    for await (const chunk of entry) {
      hash.update(chunk as Buffer);
    }
    expect(name.startsWith('./') || name === '.').toBe(true);
    found[name.replace(/^\.\/?/, '').replace(/\/$/, '')] = {
      mode: mode & 0o7777,
      uid,
      gid,
      type,
      sha256: hash.digest('hex'),
    };
  }
  // The folder's own owner and mode are not the archive's to set.
  delete found[''];
  return found;
}
