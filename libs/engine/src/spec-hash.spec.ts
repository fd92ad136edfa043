import { LABEL, type ContainerSpec } from './port.js';
import { specHash } from './spec-hash.js';

const spec: ContainerSpec = {
  name: 'aviary-ab12-uabcdef-runtime',
  labels: { [LABEL.platform]: 'p', [LABEL.tenant]: 't', [LABEL.generation]: '3' },
  image: 'sha256:aa',
  command: ['serve', '--quiet'],
  environment: { A: '1', B: '2' },
  user: '10001:10001',
  mounts: [{ volume: 'data', target: '/data', readOnly: false }],
  tmpfs: [{ target: '/tmp', sizeBytes: 1 }],
  networks: [
    { network: 'edge', address: '10.0.0.5', aliases: [] },
    { network: 'inner', address: '10.0.1.5', aliases: ['runtime'] },
  ],
  extraHosts: { 'portal.example.org': '10.0.0.1' },
  limits: { cpus: 1, memoryBytes: 1024, pids: 10 },
  ulimits: { nofile: 1024 },
  stopGraceSeconds: 10,
  stopSignal: 'SIGTERM',
  restart: 'unless-stopped',
};

describe('specHash', () => {
  it('is the same in every process and for any order of keys', () => {
    expect(specHash(spec)).toMatch(/^[0-9a-f]{32}$/);
    const reversed = Object.fromEntries(Object.entries(spec).toReversed()) as unknown as ContainerSpec;
    expect(specHash({ ...reversed, environment: { B: '2', A: '1' } })).toBe(specHash(spec));
  });

  it('does not see what is changed in place, nor when a thing was made', () => {
    const hash = specHash(spec);
    expect(specHash({ ...spec, limits: { cpus: 2, memoryBytes: 2048, pids: 20 }, restart: 'no' })).toBe(hash);
    expect(specHash({ ...spec, labels: { ...spec.labels, [LABEL.generation]: '4', [LABEL.specHash]: hash } })).toBe(
      hash,
    );
  });

  it('sees everything else', () => {
    const changes: Partial<ContainerSpec>[] = [
      { name: 'other' },
      { labels: { ...spec.labels, [LABEL.tenant]: 'u' } },
      { image: 'sha256:bb' },
      { command: ['serve'] },
      { command: undefined },
      { environment: { A: '1', B: '3' } },
      { user: '10002:10001' },
      { mounts: [{ volume: 'data', target: '/data', readOnly: true }] },
      { tmpfs: [] },
      { networks: spec.networks.toReversed() },
      { extraHosts: {} },
      { ulimits: { nofile: 2048 } },
      { stopGraceSeconds: 11 },
      { stopSignal: undefined },
    ];
    const hashes = [spec, ...changes.map((change) => ({ ...spec, ...change }))].map(specHash);
    expect(new Set(hashes).size).toBe(changes.length + 1);
  });
});
