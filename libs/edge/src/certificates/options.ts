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
  /** All addresses under which the world reaches this host, as DNS writes them; empty or absent where nobody said. */
  publicAddresses?: readonly string[];
}

export interface CertificateOptions {
  /** stand-in: whatever is served stays, and where nothing is, a local certificate; what `up` does before ACME. */
  mode: 'local' | 'files' | 'acme' | 'stand-in';
  /** Holds certs/ (served), ca/ (local authority) and acme/ (account, orders, provider.env). */
  dataDir: string;
  portalDomain: string;
  tenantDomain: string;
  now: Date;
  acme?: AcmeOptions;
}
