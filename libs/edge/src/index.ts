export { composeFiles, validateRouteFile, CANARY_FILE, SERVED_FILE } from './domain/render.js';
export type { RouteFile, DynamicFile } from './domain/dynamic.js';
export {
  renderTenantRoutes,
  tenantFileName,
  DOMAIN_CERTIFICATES,
  PAGE_HEADER,
  SLUG_HEADER,
  TENANT_HEADER,
  type EdgeSettings,
  type GatePage,
  type TenantRoute,
  type TenantRoutes,
} from './domain/tenant-routes.js';
export {
  renderShared,
  renderCanary,
  canaryHost,
  strippedHeaders,
  GENERATION_HEADER,
  GATE_BALANCER,
  PORTAL_BALANCER,
} from './domain/shared-routes.js';
export {
  renderFirewallLoader,
  renderFirewallReader,
  renderFirewallRemover,
  canonicalFirewall,
  expectedFirewall,
  type FirewallSettings,
} from './domain/firewall.js';
export { acmeBudget } from './certificates/acme.js';
export { compareServed, countServed, describeMismatches, type Mismatch, type Served } from './domain/proxy-truth.js';
export { readServed } from './proxy-api.js';
export { RouteFolder, type RouteFolderOptions, type Quarantined } from './route-folder.js';
export {
  certificateExpiries,
  ensureCertificates,
  readPortalAuthority,
  type CertificateReport,
} from './certificates/ensure.js';
export {
  domainCertificate,
  domainCertificateName,
  orderDomainCertificate,
  removeDomainCertificates,
  type DomainCertificate,
} from './certificates/domains.js';
export { judgeRecords, type DomainRecords, type Judgement } from './domain/domain-records.js';
export { readDomainRecords, type DomainNames } from './domain-resolver.js';
export type { AcmeOptions, CertificateOptions } from './certificates/options.js';
