// One table says who may import whom; everything else here is derived from it.
const CORE = ['contracts', 'config', 'async', 'telemetry'];
const DATA = [...CORE, 'crypto', 'db', 'jobs', 'audit'];
const DOMAINS = ['accounts', 'tenants', 'billing', 'support'];
const MAY_IMPORT = {
  'libs/contracts': [],
  'libs/async': [],
  'libs/crypto': ['contracts'],
  'libs/trading': ['contracts'],
  'libs/config': ['contracts'],
  'libs/telemetry': ['contracts', 'config'],
  'libs/engine': CORE,
  'libs/restic': CORE,
  'libs/edge': [...CORE, 'crypto'],
  'libs/db': [...CORE, 'crypto'],
  'libs/jobs': [...CORE, 'db'],
  'libs/audit': [...CORE, 'crypto', 'db', 'jobs'],
  'libs/keys': DATA,
  'libs/accounts': DATA,
  'libs/tenants': DATA,
  'libs/support': [...DATA, 'accounts', 'tenants'],
  'libs/billing': [...DATA, 'accounts', 'tenants'],
  'libs/orchestrator': [...DATA, 'keys', 'engine', 'edge', 'tenants'],
  // Above it, since it is the maker of its port: what is asked for of backups stands in libs/tenants.
  'libs/backup': [...DATA, 'keys', 'engine', 'restic', 'tenants', 'orchestrator'],
  'libs/ui': ['contracts'],
  'apps/web': ['contracts', 'ui'],
  'apps/dashboard': ['contracts', 'ui', 'trading'],
  'apps/runtime': [...CORE, 'crypto', 'trading'],
  'apps/gate': [...CORE, 'crypto'],
  'apps/api': [...DATA, ...DOMAINS],
  'apps/cli': [...DATA, 'keys', ...DOMAINS],
  'apps/worker': [...DATA, ...DOMAINS],
  'apps/agent': [...DATA, 'keys', 'engine', 'restic', 'edge', 'tenants', 'backup', 'orchestrator'],
};
const npm = (name) => `(^|node_modules/)${name}(/|$)`;
const onlyFrom = (name, owners) => ({
  name: `${name}-only-in-its-adapter`,
  severity: 'error',
  from: { pathNot: owners },
  to: { path: npm(name) },
});
module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    { name: 'no-importing-apps', severity: 'error', from: { path: '^libs/' }, to: { path: '^apps/' } },
    {
      name: 'no-app-to-app',
      severity: 'error',
      from: { path: '^apps/([^/]+)/' },
      to: { path: '^apps/', pathNot: '^apps/$1/' },
    },
    {
      name: 'through-the-front-door',
      severity: 'error',
      comment: 'import #libs/x, never #libs/x/inner',
      from: { path: '^(apps|libs)/([^/]+)/' },
      to: { path: '^libs/[^/]+/src/', pathNot: ['^libs/[^/]+/src/index\\.ts$', '^libs/$2/'] },
    },
    ...Object.entries(MAY_IMPORT).map(([from, libs]) => ({
      name: `${from.replace('/', '-')}-imports`,
      severity: 'error',
      from: { path: `^${from}/` },
      to: { path: '^libs/', pathNot: [`^${from}/`, ...libs.map((l) => `^libs/${l}/`)] },
    })),
    {
      name: 'domain-is-pure',
      severity: 'error',
      from: { path: '^libs/([^/]+)/src/domain/', pathNot: '\\.spec\\.ts$' },
      to: { pathNot: ['^libs/$1/src/domain/', '^libs/contracts/', npm('zod'), npm('decimal.js')] },
    },
    {
      name: 'only-agent-reaches-docker',
      severity: 'error',
      from: { path: '^apps/(api|gate|worker|cli|web|runtime|dashboard)/' },
      to: { path: npm('dockerode'), reachable: true },
    },
    onlyFrom('dockerode', ['^libs/engine/src/(docker|swarm)/', '^test/', 'node_modules']),
    onlyFrom('stripe', ['^libs/billing/src/stripe/', '^test/', 'node_modules']),
    onlyFrom('pg-boss', ['^libs/jobs/', 'node_modules']),
    onlyFrom('nodemailer', ['^libs/support/src/notify/', 'node_modules']),
    onlyFrom('age-encryption', ['^libs/backup/src/age(\\.spec)?\\.ts$', '^test/', 'node_modules']),
    onlyFrom('ccxt', ['^apps/runtime/src/exchange/', 'node_modules']),
    {
      name: 'no-shelling-out',
      severity: 'error',
      from: {
        path: '^(apps|libs)/',
        pathNot: '^(libs/(engine|restic|edge|crypto)|apps/agent/src/host|apps/runtime/src/exchange)/',
      },
      to: { path: '^(node:)?child_process$' },
    },
    { name: 'no-orm-in-apps', severity: 'error', from: { path: '^apps/' }, to: { path: npm('typeorm') } },
  ],
  options: {
    doNotFollow: { path: ['node_modules', '^dist'] },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    // resolves the "imports" alias of package.json to the sources
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['types', 'import', 'require', 'node', 'default'],
      extensions: ['.ts', '.tsx', '.js', '.json'],
    },
  },
};
