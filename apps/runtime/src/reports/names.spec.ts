import { addressesIn } from './names.js';

const hosts = `# made by the engine
127.0.0.1\tlocalhost
::1 localhost ip6-localhost # both
10.64.0.1   aviary.example.org  Portal.Example.org
not-an-address aviary.example.org
`;

describe('addressesIn', () => {
  it.each([
    ['localhost', ['127.0.0.1', '::1']],
    ['portal.example.org', ['10.64.0.1']],
    ['AVIARY.example.org', ['10.64.0.1']],
    ['example.org', []],
    ['both', []],
    ['10.64.0.1', []],
  ])('gives the addresses of %s', (host, addresses) => {
    expect(addressesIn(hosts, host)).toEqual(addresses);
  });
});
