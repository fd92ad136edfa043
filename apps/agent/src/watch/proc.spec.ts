import { containerOfProcess, defaultInterface, parseMeminfo, parseNetDev, parseStat } from './proc.js';

const DEV = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    1200      12    0    0    0     0          0         0     1200      12    0    0    0     0       0          0
  eth0: 5096132    4021    0    0    0     0          0         0   918273    3020    0    0    0     0       0          0
  eth1:18446744      17    0    0    0     0          0         0      916       9    0    0    0     0       0          0
`;
const ROUTE = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth1	0040800A	00000000	0001	0	0	0	C0FFFFFF	0	0	0
eth0	00000000	0180840A	0003	0	0	0	00000000	0	0	0
eth0	0080840A	00000000	0001	0	0	0	0000FFFF	0	0	0
`;

describe('files of /proc', () => {
  it('reads traffic by interface, also where the first number touches the name', () => {
    const traffic = parseNetDev(DEV);
    expect([...traffic.keys()]).toEqual(['lo', 'eth0', 'eth1']);
    expect(traffic.get('eth0')).toEqual({ receivedBytes: 5_096_132, sentBytes: 918_273 });
    expect(traffic.get('eth1')).toEqual({ receivedBytes: 18_446_744, sentBytes: 916 });
  });

  it('finds the way out, or that there is none', () => {
    expect(defaultInterface(ROUTE)).toBe('eth0');
    expect(defaultInterface(ROUTE.replace(/^eth0\t00000000.*\n/m, ''))).toBeNull();
  });

  it('finds the container of a process under every layout', () => {
    const id = '0f'.repeat(32);
    expect(containerOfProcess(`4:memory:/docker/${id}\n1:cpu:/docker/${id}\n0::/\n`)).toBe(id);
    expect(containerOfProcess(`0::/system.slice/docker-${id}.scope\n`)).toBe(id);
    // as a reader in a namespace of control groups of its own sees another's
    expect(containerOfProcess(`0::/../docker-${id}.scope\n`)).toBe(id);
    expect(containerOfProcess(`0::/docker/${id}/init\n`)).toBe(id);
    expect(containerOfProcess('4:memory:/user.slice\n0::/\n')).toBeNull();
  });

  it('adds up the busy time of all cores', () => {
    const stat =
      'cpu  100 20 30 4000 500 6 4 40 7 0\ncpu0 50 10 15 2000 250 3 2 20 0 0\ncpu1 50 10 15 2000 250 3 2 20 0 0\nintr 1\n';
    expect(parseStat(stat)).toEqual({ busySeconds: 2, cores: 2 });
  });

  it('reads what memory there is and what of it could be had', () => {
    const text = 'MemTotal:       24689764 kB\nMemFree:          100 kB\nMemAvailable:   20000000 kB\n';
    expect(parseMeminfo(text)).toEqual({ totalBytes: 24_689_764 * 1024, availableBytes: 20_000_000 * 1024 });
    expect(() => parseMeminfo('MemTotal: 5 kB\n')).toThrow('MemAvailable');
  });
});
