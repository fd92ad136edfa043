import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Semaphore } from '#libs/async';
import type { DomainView } from '#libs/contracts';
import { createAuthority, issueLeaf, type PemPair } from '#libs/crypto';
import { TenantDomainEntity } from '#libs/db';
import { readDomainRecords } from '#libs/edge';
import { createLogger } from '#libs/telemetry';
import { DomainKeeper, type DomainKeeperDeps } from '../../apps/agent/src/domains/domain-keeper.js';
import { stackRoutes } from '../../apps/agent/src/domains/stack-routes.js';
import { acmeSettings } from './acme-settings.js';
import { DnsServer } from './dns-server.js';
import { ENGINE_ID, PLACES, stackWorld, type StackWorld } from './stack-world.js';

/** Where this platform is, for the world outside. */
const OURS = '192.0.2.1';

/** In the authority's place: issues what was made ready, waits while it is told to, and refuses the rest. */
const AUTHORITY = `#!/bin/sh
while [ $# -gt 0 ]; do
  case "$1" in --path) path=$2 ;; --domains) domain=$2 ;; esac
  shift
done
echo "$domain" >> "$path/asked"
while [ -e "$path/ready/$domain.wait" ]; do sleep 0.05; done
mkdir -p "$path/certificates"
cp "$path/ready/$domain.crt" "$path/ready/$domain.key" "$path/certificates/"
`;

export interface Owned {
  owner: Awaited<ReturnType<StackWorld['account']>>;
  id: string;
  slug: string;
}

/** The keeper of owners' domains around the real database and a name server and authority of the test's own. */
export class DomainWorld {
  world: StackWorld;
  keeper: DomainKeeper;
  dataDir: string;
  readonly dns = new DnsServer();
  /** Added to the clock. */
  laterMs = 0;
  private authority: PemPair;

  readonly now = (): Date => new Date(Date.now() + this.laterMs);

  async start(): Promise<void> {
    this.dataDir = await mkdtemp(join(tmpdir(), 'aviary-domains-'));
    await mkdir(join(this.dataDir, 'acme', 'ready'), { recursive: true });
    await writeFile(join(this.dataDir, 'lego'), AUTHORITY);
    await chmod(join(this.dataDir, 'lego'), 0o755);
    this.authority = await createAuthority(['org'], new Date());
    await this.dns.start();
    this.dns.setAddresses(`*.${PLACES.tenantDomain}`, OURS);
    this.world = await stackWorld({ routes: join(this.dataDir, 'routes'), now: this.now });
    this.keeper = this.newKeeper();
  }

  async close(): Promise<void> {
    // An authority that a failed test left waiting is let go.
    await rm(join(this.dataDir, 'acme', 'ready'), { recursive: true, force: true });
    await this.keeper?.ended();
    this.dns.stop();
    await this.world?.close();
    await rm(this.dataDir, { recursive: true, force: true });
  }

  newKeeper(change: Partial<DomainKeeperDeps> = {}): DomainKeeper {
    const { world, dns, dataDir, now } = this;
    const { dataSource } = world.database;
    return new DomainKeeper({
      dataSource,
      queue: world.queue,
      portalUrl: `https://${PLACES.portalDomain}`,
      engineId: ENGINE_ID,
      tenantDomain: PLACES.tenantDomain,
      folder: world.folder,
      routes: stackRoutes({ dataSource, routes: world.routes, settings: world.facts, now }),
      read: (names) => readDomainRecords(names, [dns.address]),
      certificates: () =>
        acmeSettings(
          dataDir,
          { directory: 'https://authority.test/dir', lego: join(dataDir, 'lego'), dns: dns.address },
          now(),
        ),
      authority: null,
      ordering: new Semaphore(1),
      ready: () => Promise.resolve(),
      prove: () => Promise.resolve(),
      logger: createLogger('test', 'silent'),
      now,
      ...change,
    });
  }

  /** A stack that runs, of an account of its own unless another is given. */
  async stack(owner?: Owned['owner']): Promise<Owned> {
    const { world } = this;
    const who = owner ?? (await world.account('basic'));
    const { stack, operation } = await world.stacks.create(who, { template: 'standard' });
    await world.runner().run(operation.id, stack.id, new AbortController().signal);
    return { owner: who, id: stack.id, slug: stack.slug };
  }

  /** The authority would issue for it. */
  async issuable(domain: string): Promise<void> {
    const pair = await issueLeaf(this.authority, [domain], new Date());
    const ready = join(this.dataDir, 'acme', 'ready');
    await writeFile(join(ready, `${domain}.crt`), pair.certificate);
    await writeFile(join(ready, `${domain}.key`), pair.key);
  }

  /** Added, with DNS as its owner was told to set it. */
  async claim({ owner, slug }: Owned, domain: string): Promise<DomainView> {
    const view = await this.world.domains.add(owner, slug, domain);
    this.setDns(view);
    await this.issuable(domain);
    return view;
  }

  setDns(view: DomainView): void {
    const txt = view.records.find(({ type }) => type === 'TXT');
    this.dns.setTexts(txt?.name ?? '', txt?.value ?? '');
    this.dns.setAddresses(view.domain, OURS);
  }

  /** As if its time had come: everything due is looked at, and what came of it is in place. */
  async look(keeper = this.keeper): Promise<void> {
    await this.world.database.dataSource.query(`update tenant_domains set next_check_at = 'epoch'`);
    await keeper.turn();
    await keeper.ended();
    await keeper.turn();
  }

  async live(stack: Owned, domain: string): Promise<DomainView> {
    await this.claim(stack, domain);
    await this.look();
    return this.view(stack, domain);
  }

  async view({ owner, slug }: Owned, domain: string): Promise<DomainView> {
    const { items } = await this.world.domains.list(owner, slug);
    const found = items.find((item) => item.domain === domain);
    if (!found) {
      throw new Error(`${slug} has no ${domain}`);
    }
    return found;
  }

  row({ id }: Owned, domain: string): Promise<TenantDomainEntity> {
    return this.world.database.dataSource.manager.findOneByOrFail(TenantDomainEntity, { tenantId: id, domain });
  }

  async route({ slug }: Owned): Promise<string> {
    return (await this.world.folder.read(`${slug}.yml`)) ?? '';
  }
}
