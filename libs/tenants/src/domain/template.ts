import { z } from 'zod';
import { DomainError, releaseRequiresSchema, serviceNameSchema } from '#libs/contracts';

const DURATION = /^(\d{1,4})(s|m)$/;
const durationSeconds = z
  .string()
  .regex(DURATION, 'must be a duration such as 30s')
  .transform((value) => {
    const [, count, unit] = DURATION.exec(value) ?? [];
    return Number(count) * (unit === 'm' ? 60 : 1);
  });

const SIZE = /^(\d{1,4})m$/;
const absolutePath = z
  .string()
  .regex(/^\/[A-Za-z0-9._/-]{1,200}$/, 'must be a plain absolute path')
  .refine((path) => !path.split('/').includes('..'), 'must not contain ..');
const plainText = z
  .string()
  .max(400)
  .refine((value) => !value.includes('{{') && !/[\0\n\r]/.test(value), 'must be one line without {{');

/** `name:/path[:ro]`. A source that is a path would be a bind mount, which no customer's stack may have. */
const volumeEntry = z.string().transform((value, context) => {
  const [source = '', target = '', mode, ...rest] = value.split(':');
  if (!/^[a-z][a-z0-9-]{0,30}$/.test(source)) {
    context.addIssue({
      code: 'custom',
      message: `mounts ${source || 'nothing'}: only named volumes are allowed, no path of the host`,
    });
    return z.NEVER;
  }
  const path = absolutePath.safeParse(target);
  if (!path.success || rest.length > 0 || (mode !== undefined && mode !== 'ro')) {
    context.addIssue({ code: 'custom', message: 'must be volume:/path or volume:/path:ro' });
    return z.NEVER;
  }
  return { volume: source, target, readOnly: mode === 'ro' };
});

const tmpfsEntry = z.string().transform((value, context) => {
  const [target = '', option = '', ...rest] = value.split(':');
  const size = SIZE.exec(option.replace(/^size=/, ''));
  if (!absolutePath.safeParse(target).success || !size || rest.length > 0) {
    context.addIssue({ code: 'custom', message: 'must be /path:size=<n>m' });
    return z.NEVER;
  }
  return { target, sizeBytes: Number(size[1]) * 1024 * 1024 };
});

const serviceSchema = z.strictObject({
  image: plainText.min(1),
  user: z.string().regex(/^[1-9]\d{0,5}:[1-9]\d{0,5}$/, 'must be uid:gid, and not root'),
  environment: z.record(z.string().regex(/^[A-Z][A-Z0-9_]{0,60}$/), plainText).default({}),
  command: z.array(plainText).max(60).optional(),
  volumes: z.array(volumeEntry).max(10).default([]),
  tmpfs: z.array(tmpfsEntry).max(10).default([]),
  networks: z
    .array(z.enum(['internal', 'edge'], 'may only be internal and edge'))
    .min(1)
    .max(2),
  stop_grace_period: durationSeconds.default(30),
  stop_signal: z.enum(['SIGTERM', 'SIGINT', 'SIGQUIT']).optional(),
});

const secretSchema = z.union([
  z.strictObject({ bytes: z.int().min(16).max(64) }),
  z.strictObject({ kind: z.literal('ed25519') }),
]);

const aviarySchema = z.strictObject({
  version: z.string().regex(/^\d+\.\d+\.\d+$/),
  shares: z.record(
    serviceNameSchema,
    z.strictObject({ memory: z.number().positive().max(1), cpus: z.number().positive().max(1) }),
  ),
  routes: z
    .array(
      z.strictObject({
        host: z.enum(['dashboard', 'api']),
        service: serviceNameSchema,
        port: z.int().min(1).max(65_535),
        // Open to everybody is safe below one path at most, and a template's route has none to name.
        auth: z.enum(['portal', 'token'], 'must be portal or token'),
      }),
    )
    .min(1)
    .max(8),
  runtime: z.strictObject({ service: serviceNameSchema, port: z.int().min(1).max(65_535), ready: absolutePath }),
  secrets: z.record(serviceNameSchema, secretSchema),
  files: z.record(serviceNameSchema, z.record(z.string().regex(/^[a-z][a-z0-9.-]{0,60}$/), z.string().max(8_000))),
  backup: z.strictObject({
    postgres: z.array(serviceNameSchema),
    volumes: z.array(serviceNameSchema),
    /** Tables that change by themselves, so that a change of theirs alone is no reason for a backup; it has them all. */
    passing: z.array(z.string().regex(/^[a-z_][a-z0-9_]{0,62}$/)).default([]),
  }),
  upgradeOrder: z.array(serviceNameSchema),
  /** PostgreSQL's major version in its databases' images: 17. One major does not open another's files. */
  databaseMajor: z.int().min(10).max(99).optional(),
  /** Migrations of the portal's database without which its stacks would not work. */
  requires: releaseRequiresSchema.optional(),
  /** Its runtime makes the data of a copy its own, and keeps it from trading until that is allowed; others do neither. */
  copies: z.boolean().optional(),
  /** Its runtime says whether bots resumed and its books agree; of others an upgrade goes by /ready alone. */
  resumes: z.boolean().optional(),
  /** Its runtime trades nothing before the upgrade is over that its spec names; of others it trades from its start on. */
  tradesAfter: z.boolean().optional(),
});

const templateSchema = z.strictObject({
  name: z.string().regex(/^[a-z][a-z0-9-]{0,30}$/),
  services: z.record(serviceNameSchema, serviceSchema),
  volumes: z.record(z.string().regex(/^[a-z][a-z0-9-]{0,30}$/), z.strictObject({})).default({}),
  'x-aviary': aviarySchema,
});

type Parsed = z.infer<typeof templateSchema>;
export type TemplateService = z.infer<typeof serviceSchema>;
export type TemplateSecret = z.infer<typeof secretSchema>;
export type Template = Omit<Parsed, 'x-aviary'> & { aviary: Parsed['x-aviary'] };

/** By this name templates call the password of the database's only role. */
export const DATABASE_PASSWORD = 'database-password';

/** Names of all services: first the one that serves the dashboard, whose log people mostly want, the others by name. */
export function servicesOf({ services, aviary }: Template): [string, ...string[]] {
  const first = aviary.runtime.service;
  const others = Object.keys(services).filter((name) => name !== first);
  return [first, ...others.toSorted()];
}

/** Keys of Compose that would break the isolation of a stack, and why; they get a sentence of their own. */
const FORBIDDEN: Record<string, string> = {
  privileged: 'a privileged container owns the host',
  network_mode: 'a stack lives on its own networks only',
  pid: 'a container must not see processes of the host',
  ipc: 'a container must not share memory with the host',
  devices: 'devices of the host are out of reach',
  cap_add: 'capabilities are dropped, never added',
  security_opt: 'hardening is set by the platform',
  ports: 'nothing is published on the host; routes are declared in x-aviary',
  build: 'images are named, never built by a template',
  env_file: 'a template reads no file of the host',
  extra_hosts: 'names are set by the platform',
  restart: 'the restart policy is set by the platform',
};

/** `${NAME}` of the environment is replaced as Compose does; anything undefined is refused. */
function interpolate(value: unknown, variables: Readonly<Record<string, string>>, problems: string[]): unknown {
  if (typeof value === 'string') {
    return value.replace(/\$\{([A-Z][A-Z0-9_]*)\}/g, (whole, name: string) => {
      const found = variables[name];
      if (found === undefined) {
        problems.push(`${whole} is not set`);
        return whole;
      }
      return found;
    });
  }
  if (Array.isArray(value)) {
    return value.map((item) => interpolate(item, variables, problems));
  }
  if (value !== null && typeof value === 'object') {
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, interpolate(item, variables, problems)]),
    );
  }
  return value;
}

function forbiddenKeys(document: unknown): string[] {
  const services = (document as { services?: unknown } | null)?.services;
  if (services === null || typeof services !== 'object') {
    return [];
  }
  return Object.entries(services).flatMap(([name, service]) =>
    Object.keys((service ?? {}) as object)
      .filter((key) => key in FORBIDDEN)
      .map((key) => `services.${name}.${key}: ${FORBIDDEN[key]}`),
  );
}

/** What the parts of a template say of each other. */
function crossChecks(template: Template): string[] {
  const services = new Set(Object.keys(template.services));
  const { aviary } = template;
  const problems: string[] = [];
  const known = (where: string, names: Iterable<string>): void => {
    for (const name of names) {
      if (!services.has(name)) {
        problems.push(`${where} names ${name}, which is no service`);
      }
    }
  };
  known('x-aviary.shares', Object.keys(aviary.shares));
  known('x-aviary.files', Object.keys(aviary.files));
  known(
    'x-aviary.routes',
    aviary.routes.map((route) => route.service),
  );
  known('x-aviary.runtime', [aviary.runtime.service]);
  known('x-aviary.backup.postgres', aviary.backup.postgres);
  known('x-aviary.upgradeOrder', aviary.upgradeOrder);
  // Stopping follows it too: a service that it leaves out would never be stopped.
  if (aviary.upgradeOrder.toSorted().join() !== [...services].toSorted().join()) {
    problems.push('x-aviary.upgradeOrder: each service once');
  }
  for (const [name, service] of Object.entries(template.services)) {
    if (!aviary.shares[name]) {
      problems.push(`x-aviary.shares has no entry for ${name}`);
    }
    if (!service.networks.includes('internal')) {
      problems.push(`services.${name} must be on the internal network`);
    }
    for (const { volume } of service.volumes) {
      if (!template.volumes[volume]) {
        problems.push(`services.${name} mounts ${volume}, which is not declared under volumes`);
      }
    }
  }
  for (const kind of ['memory', 'cpus'] as const) {
    const sum = Object.values(aviary.shares).reduce((total, share) => total + share[kind], 0);
    if (sum > 1.0001) {
      problems.push(`x-aviary.shares: ${kind} adds up to ${sum.toFixed(2)}, more than 1`);
    }
  }
  for (const route of aviary.routes) {
    if (services.has(route.service) && !template.services[route.service]?.networks.includes('edge')) {
      problems.push(`x-aviary.routes: ${route.service} serves a route, so it must be on the edge network`);
    }
  }
  if (new Set(aviary.routes.map((route) => route.host)).size !== aviary.routes.length) {
    problems.push('x-aviary.routes: each host once');
  }
  for (const [service, files] of Object.entries(aviary.files)) {
    for (const [path, content] of Object.entries(files)) {
      for (const [whole, kind, name] of content.matchAll(/\$\{([a-z-]+)(?::([a-z0-9-]+))?\}/g)) {
        const fine =
          kind === 'secret'
            ? name !== undefined && Object.hasOwn(aviary.secrets, name)
            : ['spec', 'portal-ca'].includes(kind ?? '');
        if (!fine) {
          problems.push(`x-aviary.files.${service}.${path}: ${whole} is not known`);
        }
      }
    }
  }
  return problems;
}

/**
 * A template from its parsed YAML. Throws TEMPLATE_INVALID; `details.problems` lists every reason.
 * `variables` are the image references, by the names the compose file uses.
 */
export function parseTemplate(document: unknown, variables: Readonly<Record<string, string>>): Template {
  const problems = forbiddenKeys(document);
  const filled = interpolate(document, variables, problems);
  const result = templateSchema.safeParse(filled);
  if (!result.success) {
    problems.push(...result.error.issues.map((issue) => `${issue.path.join('.') || 'template'}: ${issue.message}`));
  }
  if (result.success) {
    const { 'x-aviary': aviary, ...compose } = result.data;
    const template: Template = { ...compose, aviary };
    problems.push(...crossChecks(template));
    if (problems.length === 0) {
      return template;
    }
  }
  throw new DomainError('TEMPLATE_INVALID', {
    message: `The stack template is not acceptable: ${problems.slice(0, 3).join('; ')}.`,
    details: { problems },
  });
}
