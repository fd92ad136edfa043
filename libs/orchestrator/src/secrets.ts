import { createPrivateKey, randomBytes, type KeyObject } from 'node:crypto';
import type { DataSource, EntityManager } from 'typeorm';
import { httpsOrigin } from '#libs/config';
import { DomainError, type StackSpec } from '#libs/contracts';
import { newSigningKey, publicKeyText } from '#libs/crypto';
import { TenantEntity, TenantSecretEntity } from '#libs/db';
import type { FileEntry } from '#libs/engine';
import { secretContext, type DataKeys } from '#libs/keys';
import { DATABASE_PASSWORD, stackHost, stackNames, type TemplateSecret } from '#libs/tenants';
import type { StackFacts } from './planner/want.js';
import type { SecretFiles } from './ports.js';

export interface SecretSettings {
  keys: DataKeys;
  gatePublicKey: string;
  portalDomain: string;
  tenantDomain: string;
  httpsPort: number;
  /** PEM of the authority behind the portal's certificate; empty where a public one signs. */
  portalCa: () => Promise<string>;
}

/** A secret may be read by its own service only. */
const FILE_MODE = 0o400;

function generate(rule: TemplateSecret): { text: string; publicKey: string | null } {
  if ('kind' in rule) {
    const key = newSigningKey();
    return { text: key.export({ format: 'pem', type: 'pkcs8' }).toString(), publicKey: publicKeyText(key) };
  }
  return { text: randomBytes(rule.bytes).toString('base64url'), publicKey: null };
}

function notMade(slug: string, secret: string): DomainError {
  return new DomainError('WRONG_STATE', {
    message: `The secret ${secret} of ${slug} was not made yet.`,
    details: { why: 'secret_missing', secret },
  });
}

/** Generated per tenant, sealed under its data key in the portal's database, opened only to be delivered. */
export class StackSecrets implements SecretFiles {
  constructor(
    private readonly dataSource: DataSource,
    private readonly settings: SecretSettings,
  ) {}

  /** Makes what is missing and leaves what is there, so it may run twice. */
  async ensure(db: EntityManager, facts: StackFacts, now: Date): Promise<void> {
    const key = await this.settings.keys.ensure(db, facts.tenantId, now);
    const there = new Set((await db.findBy(TenantSecretEntity, { tenantId: facts.tenantId })).map(({ name }) => name));
    for (const [name, rule] of Object.entries(facts.template.aviary.secrets)) {
      if (there.has(name)) {
        continue;
      }
      const { text, publicKey } = generate(rule);
      const sealed = key.seal(secretContext(facts.tenantId, name), text);
      await db.insert(TenantSecretEntity, { tenantId: facts.tenantId, name, sealed, previous: null, createdAt: now });
      if (publicKey !== null) {
        await db.update(TenantEntity, { id: facts.tenantId }, { publicKey });
      }
    }
  }

  /**
   * New values for all of them, the old ones kept beside. False, and nothing changed, while an earlier rotation is not
   * proven yet: a third value would push out the one the database may still have.
   */
  async renew(db: EntityManager, facts: StackFacts, now: Date): Promise<boolean> {
    const rows = await db.find(TenantSecretEntity, {
      where: { tenantId: facts.tenantId },
      lock: { mode: 'pessimistic_write' },
    });
    if (rows.some(({ previous }) => previous !== null)) {
      return false;
    }
    const key = await this.settings.keys.ensure(db, facts.tenantId, now);
    for (const { name, sealed: previous } of rows) {
      const rule = facts.template.aviary.secrets[name];
      if (!rule) {
        continue;
      }
      const { text, publicKey } = generate(rule);
      const sealed = key.seal(secretContext(facts.tenantId, name), text);
      await db.update(TenantSecretEntity, { tenantId: facts.tenantId, name }, { sealed, previous, createdAt: now });
      if (publicKey !== null) {
        await db.update(TenantEntity, { id: facts.tenantId }, { publicKey });
      }
    }
    return true;
  }

  /**
   * The database is led to other data, whose password nobody knows for certain: secrets may have been rotated since it
   * was the stack's, or a rotation before was not proven.
   */
  async doubtPassword({ tenantId }: StackFacts): Promise<void> {
    await this.dataSource.query('update tenant_secrets set previous = sealed where tenant_id = $1 and name = $2', [
      tenantId,
      DATABASE_PASSWORD,
    ]);
  }

  /**
   * The database's password and the one it may still have instead, null where it may have any; null while none is to be
   * proven.
   */
  async passwordInDoubt(facts: StackFacts): Promise<{ current: string; previous: string | null } | null> {
    const name = DATABASE_PASSWORD;
    const row = await this.dataSource.manager.findOneBy(TenantSecretEntity, { tenantId: facts.tenantId, name });
    if (!row?.previous) {
      return null;
    }
    const key = await this.settings.keys.of(this.dataSource.manager, facts.tenantId);
    const read = (sealed: Buffer): string => key.open(secretContext(facts.tenantId, name), sealed);
    const [current, previous] = [read(row.sealed), read(row.previous)];
    return { current, previous: previous === current ? null : previous };
  }

  /** The new values are proven: the old ones are forgotten. */
  async proven(facts: StackFacts): Promise<void> {
    await this.dataSource.query(
      'update tenant_secrets set previous = null where tenant_id = $1 and previous is not null',
      [facts.tenantId],
    );
  }

  /** The stack's own signing key; throws WRONG_STATE while it has none. */
  async stackKey(facts: StackFacts): Promise<KeyObject> {
    const [key] = await this.stackKeys(facts);
    return key;
  }

  /** The same, and while it is rotated the one before, which what runs has until its restart. */
  async stackKeys(facts: StackFacts): Promise<[KeyObject, ...KeyObject[]]> {
    const name = Object.entries(facts.template.aviary.secrets).find(([, rule]) => 'kind' in rule)?.[0] ?? '';
    const row = await this.dataSource.manager.findOneBy(TenantSecretEntity, { tenantId: facts.tenantId, name });
    if (!row) {
      throw notMade(facts.slug, name);
    }
    const key = await this.settings.keys.of(this.dataSource.manager, facts.tenantId);
    const read = (sealed: Buffer): KeyObject => createPrivateKey(key.open(secretContext(facts.tenantId, name), sealed));
    return [read(row.sealed), ...(row.previous === null ? [] : [read(row.previous)])];
  }

  async volumesFor(facts: StackFacts, services: readonly string[]): Promise<{ volume: string; files: FileEntry[] }[]> {
    const rows = await this.dataSource.manager.findBy(TenantSecretEntity, { tenantId: facts.tenantId });
    const key = await this.settings.keys.of(this.dataSource.manager, facts.tenantId);
    const values = new Map(
      rows.map(({ name, sealed }) => [name, key.open(secretContext(facts.tenantId, name), sealed)]),
    );
    const portalCa = await this.settings.portalCa();
    const names = stackNames(facts.platformId, facts.slug);
    return services
      .filter((service) => facts.template.aviary.files[service])
      .map((service) => ({ volume: names.secrets(service), files: this.files(facts, service, values, portalCa) }));
  }

  private files(
    facts: StackFacts,
    service: string,
    values: ReadonlyMap<string, string>,
    portalCa: string,
  ): FileEntry[] {
    const [uid = 0, gid = 0] = (facts.template.services[service]?.user ?? '').split(':').map(Number);
    const fill = (_whole: string, kind: string, name: string | undefined): string => {
      if (kind === 'spec') {
        return JSON.stringify(this.spec(facts), null, 2);
      }
      if (kind === 'portal-ca') {
        return portalCa;
      }
      const value = values.get(name ?? '');
      if (value === undefined) {
        throw notMade(facts.slug, name ?? '');
      }
      return value;
    };
    return Object.entries(facts.template.aviary.files[service] ?? {}).map(([path, pattern]) => ({
      path,
      mode: FILE_MODE,
      uid,
      gid,
      content: pattern.replace(/\$\{([a-z-]+)(?::([a-z0-9-]+))?\}/g, fill),
    }));
  }

  private spec(facts: StackFacts): StackSpec {
    const { portalDomain, tenantDomain, httpsPort, gatePublicKey } = this.settings;
    const user = facts.template.services['postgres']?.environment['POSTGRES_USER'] ?? 'postgres';
    return {
      version: 1,
      platform: facts.platformId,
      tenant: facts.tenantId,
      slug: facts.slug,
      generation: facts.generation,
      provisioningGeneration: facts.provisioningGeneration,
      clonedFrom: facts.clonedFrom,
      tradingHeldSince: facts.tradingHeldSince,
      tradesAfter: facts.tradesAfter,
      release: facts.release,
      image: facts.images[facts.template.aviary.runtime.service] ?? '',
      dashboardUrl: httpsOrigin(stackHost('dashboard', facts.slug, tenantDomain), httpsPort),
      portalUrl: httpsOrigin(portalDomain, httpsPort),
      limits: facts.limits,
      gatePublicKey,
      database: {
        host: 'postgres',
        port: 5432,
        user,
        database: facts.template.services['postgres']?.environment['POSTGRES_DB'] ?? user,
      },
      redis: { host: 'redis', port: 6379 },
    };
  }
}
