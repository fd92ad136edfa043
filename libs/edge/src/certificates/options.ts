export interface AcmeOptions {
  email: string;
  /** The authority's directory; empty is Let's Encrypt. */
  directory: string;
  /** lego's name of the DNS provider; its credentials stand in acme/provider.env. */
  dnsProvider: string;
  /** More of lego's options, such as `--dns.resolvers`. */
  legoArguments?: readonly string[];
  lego?: string;
  /** `address:port` of resolvers to ask before an order; the host's own where absent. */
  dnsServers?: readonly string[];
}

export interface CertificateOptions {
  mode: 'local' | 'files' | 'acme';
  /** Holds certs/ (served), ca/ (local authority) and acme/ (account, orders, provider.env). */
  dataDir: string;
  portalDomain: string;
  tenantDomain: string;
  now: Date;
  acme?: AcmeOptions;
}
