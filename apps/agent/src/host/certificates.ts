import { chmod, chown, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ensureCertificates } from '#libs/edge';
import type { Platform } from './settings.js';

/** uid and gid of the agent, which renews what is made here. */
const PORTAL = 10_001;

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
  for (const folder of ['certs', 'ca']) {
    for (const name of await readdir(join(config.DATA_DIR, folder))) {
      const path = join(config.DATA_DIR, folder, name);
      await chown(path, PORTAL, PORTAL);
      // Traefik reads the keys of certs/ through the group; the authority's own key is for the agent alone.
      await chmod(path, name.endsWith('.key') ? (folder === 'certs' ? 0o640 : 0o600) : 0o644);
    }
  }
}
