import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';

const TYPE = { A: 1, TXT: 16, AAAA: 28 } as const;
const CODE = { fine: 0, failure: 2, noSuchName: 3 };

/** A name server of the domains a test speaks of; what is not set does not exist. */
export class DnsServer {
  private socket: Socket | null = null;
  private port = 0;
  private readonly addresses = new Map<string, readonly string[]>();
  private readonly texts = new Map<string, readonly string[]>();
  private readonly silent = new Set<string>();
  private readonly broken = new Set<string>();
  /** From each question to its answer. */
  delayMs = 0;
  /** Names it was asked for, one entry a question. */
  readonly asked: string[] = [];

  async start(): Promise<void> {
    const socket = createSocket('udp4');
    this.socket = socket;
    socket.on('message', (message, { port, address }) => {
      const answer = this.answer(message);
      if (answer) {
        setTimeout(() => this.socket?.send(answer, port, address), this.delayMs);
      }
    });
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    this.port = socket.address().port;
  }

  stop(): void {
    this.socket?.close();
    this.socket = null;
  }

  /** `address:port`, as resolvers are told. */
  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** IPv4 addresses a name leads to; `*.zone` stands for all below it that have none of their own. */
  setAddresses(name: string, ...addresses: string[]): void {
    this.addresses.set(name, addresses);
  }

  setTexts(name: string, ...texts: string[]): void {
    this.texts.set(name, texts);
  }

  /** Questions below this name get no answer at all, or one that says the server is broken. */
  setFault(zone: string, fault: 'silent' | 'broken' | null): void {
    for (const [kind, names] of [
      ['silent', this.silent],
      ['broken', this.broken],
    ] as const) {
      names.delete(zone);
      if (fault === kind) {
        names.add(zone);
      }
    }
  }

  private answer(message: Buffer): Buffer | null {
    const labels: string[] = [];
    let at = 12;
    for (let length = message[at] ?? 0; length > 0; length = message[at] ?? 0) {
      labels.push(message.toString('latin1', at + 1, at + 1 + length));
      at += length + 1;
    }
    const name = labels.join('.').toLowerCase();
    const type = message.readUInt16BE(at + 1);
    this.asked.push(name);
    const below = (zones: ReadonlySet<string>): boolean =>
      [...zones].some((zone) => name === zone || name.endsWith(`.${zone}`));
    if (below(this.silent)) {
      return null;
    }
    const data = below(this.broken) ? [] : this.records(name, type);
    const known = this.addressesOf(name) !== undefined || this.texts.has(name);
    const code = below(this.broken) ? CODE.failure : known ? CODE.fine : CODE.noSuchName;
    const header = Buffer.alloc(12);
    message.copy(header, 0, 0, 2);
    header.writeUInt16BE(0x8180 + code, 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(data.length, 6);
    const answers = data.map((value) => {
      const start = Buffer.alloc(12);
      start.writeUInt16BE(0xc00c, 0);
      start.writeUInt16BE(type, 2);
      start.writeUInt16BE(1, 4);
      start.writeUInt16BE(value.length, 10);
      return Buffer.concat([start, value]);
    });
    return Buffer.concat([header, message.subarray(12, at + 5), ...answers]);
  }

  private records(name: string, type: number): Buffer[] {
    if (type === TYPE.A) {
      return (this.addressesOf(name) ?? []).map((address) => Buffer.from(address.split('.').map(Number)));
    }
    if (type === TYPE.TXT) {
      return (this.texts.get(name) ?? []).map((text) => Buffer.concat([Buffer.from([text.length]), Buffer.from(text)]));
    }
    return [];
  }

  private addressesOf(name: string): readonly string[] | undefined {
    return this.addresses.get(name) ?? this.addresses.get(`*.${name.split('.').slice(1).join('.')}`);
  }
}
