import { buffer } from 'node:stream/consumers';
import { extract } from 'tar-stream';
import { LABEL, type ContainerSpec } from '../port.js';
import { specHash } from '../spec-hash.js';
import { negotiate, NEWEST_API } from './api-version.js';
import { tarOf } from './archive.js';
import { createOptions, helperOptions } from './container-options.js';
import { demuxLines } from './demux.js';
import { toDomainError } from './errors.js';

const spec: ContainerSpec = {
  name: 'aviary-ab12-uabcdef-runtime',
  labels: { [LABEL.platform]: 'p', [LABEL.service]: 'runtime' },
  image: 'sha256:aa',
  environment: { PORT: '8080' },
  user: '10001:10001',
  mounts: [{ volume: 'secrets', target: '/run/aviary', readOnly: true }],
  tmpfs: [{ target: '/tmp', sizeBytes: 4096 }],
  networks: [
    { network: 'edge', address: '10.0.0.5', aliases: [] },
    { network: 'inner', address: '10.0.1.5', aliases: ['runtime'] },
  ],
  extraHosts: { 'portal.example.org': '10.0.0.1' },
  limits: { cpus: 0.25, memoryBytes: 64 * 1024 * 1024, pids: 50 },
  ulimits: { nofile: 4096, core: 0 },
  stopGraceSeconds: 60,
  stopSignal: 'SIGINT',
  restart: 'unless-stopped',
};

describe('createOptions', () => {
  it('is exactly this', () => {
    expect(createOptions(spec)).toEqual({
      name: spec.name,
      Image: 'sha256:aa',
      Labels: { ...spec.labels, [LABEL.specHash]: specHash(spec) },
      Env: ['PORT=8080'],
      User: '10001:10001',
      StopTimeout: 60,
      StopSignal: 'SIGINT',
      NetworkingConfig: { EndpointsConfig: { edge: { IPAMConfig: { IPv4Address: '10.0.0.5' }, Aliases: [] } } },
      HostConfig: {
        CapDrop: ['ALL'],
        SecurityOpt: ['no-new-privileges:true'],
        ReadonlyRootfs: true,
        Privileged: false,
        Init: true,
        LogConfig: { Type: 'local', Config: { 'max-size': '10m', 'max-file': '3' } },
        Memory: 67_108_864,
        MemorySwap: 67_108_864,
        NanoCpus: 250_000_000,
        PidsLimit: 50,
        NetworkMode: 'edge',
        Mounts: [{ Type: 'volume', Source: 'secrets', Target: '/run/aviary', ReadOnly: true }],
        Tmpfs: { '/tmp': 'rw,noexec,nosuid,nodev,mode=1777,size=4096' },
        Ulimits: [
          { Name: 'nofile', Soft: 4096, Hard: 4096 },
          { Name: 'core', Soft: 0, Hard: 0 },
        ],
        ExtraHosts: ['portal.example.org:10.0.0.1'],
        RestartPolicy: { Name: 'unless-stopped' },
      },
    });
  });

  it('leaves a container without networks on none at all', () => {
    const options = createOptions({ ...spec, networks: [] });
    expect(options.HostConfig?.NetworkMode).toBe('none');
    expect(options.NetworkingConfig).toBeUndefined();
  });

  it('gives a helper the capabilities it names and nothing more', () => {
    const base = { name: 'h', labels: {}, image: 'i', command: ['sh'], user: '0:0' };
    const open = helperOptions({ ...base, hostNetwork: true, capabilities: ['NET_ADMIN'], stdin: 'x' });
    expect(open).toMatchObject({ OpenStdin: true, StdinOnce: true });
    expect(open.HostConfig).toMatchObject({
      CapDrop: ['ALL'],
      CapAdd: ['NET_ADMIN'],
      NetworkMode: 'host',
      ReadonlyRootfs: true,
      SecurityOpt: ['no-new-privileges:true'],
      RestartPolicy: { Name: 'no' },
    });
    const closed = helperOptions({ ...base, hostNetwork: false, capabilities: [] });
    expect(closed.OpenStdin).toBeUndefined();
    expect(closed.HostConfig).toMatchObject({ CapAdd: [], NetworkMode: 'none' });
  });
});

describe('demuxLines', () => {
  const frame = (stream: number, payload: Buffer | string): Buffer => {
    const body = Buffer.from(payload as string);
    const head = Buffer.alloc(8);
    head[0] = stream;
    head.writeUInt32BE(body.length, 4);
    return Buffer.concat([head, body]);
  };

  it('keeps the order of both streams', () => {
    const log = Buffer.concat([frame(1, 'a\n'), frame(2, 'b\n'), frame(1, 'c\nd\n')]);
    expect(demuxLines(log)).toEqual(['a', 'b', 'c', 'd']);
  });

  it('joins a line that came in pieces, letters cut in two and the other stream in between', () => {
    const letter = Buffer.from('ü');
    const log = Buffer.concat([
      frame(1, Buffer.concat([Buffer.from('gr'), letter.subarray(0, 1)])),
      frame(2, 'warning\n'),
      frame(1, Buffer.concat([letter.subarray(1), Buffer.from('n\n')])),
      frame(1, 'no end'),
    ]);
    expect(demuxLines(log)).toEqual(['warning', 'grün', 'no end']);
  });

  it('drops a frame’s head that was cut off', () => {
    expect(demuxLines(Buffer.alloc(0))).toEqual([]);
    expect(demuxLines(Buffer.concat([frame(1, 'a\r\n'), Buffer.from([1, 0, 0])]))).toEqual(['a']);
  });
});

describe('tarOf', () => {
  it('carries mode, owner and the folders on the way, each once', async () => {
    const owner = { mode: 0o400, uid: 999, gid: 998 };
    const tar = await tarOf([
      {
        below: '0',
        files: [
          { path: 'a/b/one', content: 'eins', ...owner },
          { path: 'a/two', content: Buffer.from('ü'), ...owner },
        ],
      },
      { below: '', files: [{ path: 'three', content: '', ...owner }] },
    ]);
    const reader = extract();
    reader.end(tar);
    const entries: unknown[] = [];
    for await (const entry of reader) {
      const { name, type, mode, uid, gid } = entry.header;
      entries.push([name, type, mode?.toString(8), uid, gid, (await buffer(entry)).toString()]);
    }
    expect(entries).toEqual([
      ['0/a/', 'directory', '750', 999, 998, ''],
      ['0/a/b/', 'directory', '750', 999, 998, ''],
      ['0/a/b/one', 'file', '400', 999, 998, 'eins'],
      ['0/a/two', 'file', '400', 999, 998, 'ü'],
      ['three', 'file', '400', 999, 998, ''],
    ]);
  });
});

describe('toDomainError', () => {
  const answer = (statusCode: number, message: string): unknown =>
    Object.assign(new Error(`(HTTP code ${statusCode}) - ${message}`), { statusCode, json: { message } });

  it.each([
    [404, 'No such image: postgres:17', 'IMAGE_MISSING'],
    [404, 'No such container: x', 'ENGINE_REFUSED'],
    [404, 'could not find an available, non-overlapping IPv4 address pool among the defaults', 'NO_CAPACITY'],
    [403, 'Pool overlaps with other one on this address space', 'NO_CAPACITY'],
    [403, 'Address already in use', 'NO_CAPACITY'],
    [500, 'write /var/lib/docker/x: no space left on device', 'NO_CAPACITY'],
    [409, 'Conflict. The container name "/x" is already in use', 'ENGINE_CONFLICT'],
    [409, 'id already in use', 'ENGINE_REFUSED'],
    [500, 'OCI runtime create failed', 'ENGINE_REFUSED'],
  ])('reads %d "%s" as %s', (status, reason, code) => {
    expect(toDomainError('try', answer(status, reason))).toMatchObject({
      code,
      details: { status, reason, what: 'try' },
    });
  });

  it.each(['ECONNREFUSED', 'ENOENT', 'ECONNRESET', 'EPIPE'])('reads %s as an engine that does not answer', (code) => {
    const error = Object.assign(new Error(`connect ${code}`), { code });
    expect(toDomainError('try', error)).toMatchObject({ code: 'ENGINE_UNREACHABLE' });
    expect(toDomainError('try', new Error('socket hang up'))).toMatchObject({ code: 'ENGINE_UNREACHABLE' });
  });

  it('does not hide a mistake of ours behind the engine', () => {
    expect(toDomainError('try', new TypeError('x is not a function'))).toMatchObject({ code: 'INTERNAL' });
  });
});

describe('negotiate', () => {
  it('speaks the lower of the server’s and the newest tested version', () => {
    expect(negotiate({ version: '20.10', apiVersion: '1.41', minApiVersion: '1.12' })).toBe('1.41');
    expect(negotiate({ version: '99', apiVersion: '1.100', minApiVersion: '1.24' })).toBe(NEWEST_API);
  });

  it('FM-6 refuses with a sentence an engine that is too new or too old', () => {
    expect(() => negotiate({ version: '99', apiVersion: '1.120', minApiVersion: '1.100' })).toThrow(
      `Docker Engine 99 answers API 1.100 and newer only; this Aviary speaks up to ${NEWEST_API}.`,
    );
    expect(() => negotiate({ version: '19.03', apiVersion: '1.40', minApiVersion: '1.12' })).toThrow('Engine 20.10');
  });
});
