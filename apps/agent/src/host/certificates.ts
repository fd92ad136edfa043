import { chmod, lchown, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ensureCertificates } from '#libs/edge';
import { readText, writeWhole } from './files.js';
import { PORTAL } from './portal-user.js';
import type { HostConfig, Platform } from './settings.js';

/** In the data folder: what a browser is to trust, for every user of the host. ca/, beside the key, is the agent's. */
export const AUTHORITY_COPY = 'ca.crt';

/**
 * The first certificates. Where they come by ACME a local one stands in until the agent, which answers the
 * authority's questions through the running proxy, has fetched the real ones.
 */
export async function prepareCertificates({ config }: Platform): Promise<void> {
  await ensureCertificates({
    // Never 'local' where ACME is set: a second run would put its own in place of the real ones.
    mode: config.TLS_MODE === 'acme' ? 'stand-in' : config.TLS_MODE,
    dataDir: config.DATA_DIR,
    portalDomain: config.PORTAL_DOMAIN,
    tenantDomain: config.TENANT_DOMAIN,
    now: new Date(),
    acme: { email: config.ACME_EMAIL, directory: config.ACME_DIRECTORY, dnsProvider: config.ACME_DNS_PROVIDER },
  });
  await ownCertificates(join(config.DATA_DIR, 'certs'), 0o640);
  await ownCertificates(join(config.DATA_DIR, 'ca'), 0o600);
  await ownAcmeFiles(join(config.DATA_DIR, 'acme'));
  await copyAuthority(config);
}

/** Traefik reads the keys of certs/ through the group; the authority's own key is for the agent alone. */
export async function ownCertificates(folder: string, key: 0o640 | 0o600, owner = PORTAL): Promise<void> {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    await lchown(path, owner, owner);
    if (entry.isFile()) {
      await chmod(path, entry.name.endsWith('.key') ? key : 0o644);
    }
  }
}

/** What a person put there as root (provider.env, an account from elsewhere) the agent must read, and renew. */
export async function ownAcmeFiles(folder: string, owner = PORTAL): Promise<void> {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    await lchown(path, owner, owner);
    if (entry.isFile()) {
      await chmod(path, 0o600);
    }
  }
}

/** Only where browsers need it: an authority that signs nothing any more should not be trusted either. */
export async function copyAuthority({ DATA_DIR, TLS_MODE }: Pick<HostConfig, 'DATA_DIR' | 'TLS_MODE'>): Promise<void> {
  const authority = TLS_MODE === 'local' ? await readText(join(DATA_DIR, 'ca', 'ca.crt')) : null;
  const copy = join(DATA_DIR, AUTHORITY_COPY);
  if (authority === null) {
    await rm(copy, { force: true });
  } else {
    await writeWhole(copy, authority, { mode: 0o644 });
  }
}
