import { z } from 'zod';
import { CAPACITY_DEFAULTS, engineIdSchema, MOST_EDGE_PORTS } from '#libs/contracts';

const port = z.coerce.number().int().min(1).max(65_535);
const domain = z
  .string()
  .toLowerCase()
  .regex(
    /^(?=.{1,200}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$/,
    'must be a host name such as aviary.example',
  );
const cidr = z.string().regex(/^\d{1,3}(\.\d{1,3}){3}\/\d{1,2}$/, 'must be an IPv4 network such as 10.128.0.0/14');
/** 32 random bytes in base64. */
const key32 = z.string().refine((value) => Buffer.from(value, 'base64').length === 32, 'must be 32 bytes in base64');
const postgresUrl = z.string().refine((value) => /^postgres(ql)?:\/\//.test(value), 'must be a postgres:// address');
/** What a process may also be given as a file, `AVIARY_<NAME>_FILE`, so that it stands in no environment. */
const secret = <T extends z.ZodType>(schema: T): T => schema.meta({ secret: true });
export const isSecret = (schema: z.ZodType): boolean => schema.meta()?.['secret'] === true;
/** Whole numbers with a unit in the setting's name. */
const atLeast = (least: number) => z.coerce.number().int().min(least);
const list = z
  .string()
  .default('')
  .transform((value) =>
    value
      .split(',')
      .map((item) => item.trim())
      .filter(Boolean),
  );

/** As DNS answers, so that they can be compared: IPv6 in its shortest form. */
const addresses = list.pipe(
  z.array(z.union([z.ipv4(), z.ipv6().transform((address) => new URL(`http://[${address}]`).hostname.slice(1, -1))])),
);

/** In which the platform's days and nights are. */
const timeZone = z
  .string()
  .refine((zone) => {
    try {
      return new Intl.DateTimeFormat('en', { timeZone: zone }).resolvedOptions().timeZone !== '';
    } catch {
      return false; // The one way to ask whether it is known.
    }
  }, 'must be a time zone such as Europe/Berlin')
  .default('UTC');

/** What every process of the platform needs. Names of variables are these keys with the prefix AVIARY_. */
export const commonShape = {
  ENV: z.enum(['production', 'development', 'test']).default('production'),
  LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info'),
  PLATFORM_ID: z.uuid(),
  TIME_ZONE: timeZone,
};

export const edgeShape = {
  PORTAL_DOMAIN: domain.default('aviary.localhost'),
  TENANT_DOMAIN: domain.default('aviary.localhost'),
  HTTP_PORT: port.default(80),
  HTTPS_PORT: port.default(443),
};

const database = {
  DATABASE_URL: secret(postgresUrl),
};

/** How often the limits of stacks may be promised, what of the disk stays free, ports of an edge bridge. */
const capacity = {
  OVERCOMMIT_MEMORY: z.coerce.number().min(1).default(CAPACITY_DEFAULTS.overcommit.memory),
  OVERCOMMIT_CPU: z.coerce.number().min(1).default(CAPACITY_DEFAULTS.overcommit.cpu),
  OVERCOMMIT_DISK: z.coerce.number().min(1).default(CAPACITY_DEFAULTS.overcommit.disk),
  OVERCOMMIT_PIDS: z.coerce.number().min(1).default(CAPACITY_DEFAULTS.overcommit.pids),
  DISK_FLOOR_MB: atLeast(0).default(CAPACITY_DEFAULTS.diskFloorMb),
  EDGE_PORTS: atLeast(1).max(MOST_EDGE_PORTS).default(CAPACITY_DEFAULTS.edgePorts),
};

/** How long what belongs to no stack any more is kept on the engine; 0 keeps it until a person removes it. */
const orphanGraceHours = atLeast(0).default(168);
/** Containers an engine creates or starts at a time (moby#42096: many at once collapse it). */
const provisionParallel = z.coerce.number().int().min(1).max(32).default(6);
/** Asked every minute while all is well, of a watchdog outside of the host; empty for none. */
const heartbeatUrl = z.union([z.literal(''), z.url({ protocol: /^https?$/ })]).default('');
/** How long an operation belongs to an agent that says nothing: after it another takes it over. */
const leaseSeconds = z.coerce.number().positive().default(15);

/** Loopback port where the proxy says how it is and what it serves. */
const proxyPort = port.default(19_080);

/** Names and keys for S3 lie in files, so none is taken in the address. */
const backupUrl = z
  .string()
  .regex(
    /^(\/[\w./-]+|s3:https?:\/\/[\w.-]+(:\d{1,5})?(\/[\w.-]+)+)$/,
    'must be an absolute path without spaces, or s3:https://host/bucket with nothing secret in it',
  );
/** As the portal's image has it. */
const resticBinary = z.string().startsWith('/').default('/usr/bin/restic');
const s3Region = z
  .string()
  .regex(/^[a-z0-9-]*$/, 'must be a region such as eu-central-1')
  .default('');

/**
 * The night's backup of the portal itself: after those of stacks (from 02:00 on) and their pruning (from 03:00 on), so
 * that it knows of them. How old the newest may be before operators are told.
 */
const portalBackupHour = z.coerce.number().int().min(0).max(23).default(4);
const portalBackupOverdueHours = z.coerce.number().int().min(2).max(720).default(28);

/** A master key and, while it is rotated, the next: as text or file, or printed by a command, of each one way. */
const masterKeys = {
  MASTER_KEY: secret(key32.optional()),
  MASTER_KEY_COMMAND: z.string().default(''),
  NEXT_MASTER_KEY: secret(key32.optional()),
  NEXT_MASTER_KEY_COMMAND: z.string().default(''),
};
/** Programs that commands name: their folder comes first where they are looked for. */
const dataDir = z.string().default('/var/lib/aviary');

const agentSocket = z.string().default('/run/aviary-agent/agent.sock');
const mail = {
  /** smtp://user:password@host:587; empty keeps mails in the outbox page. */
  SMTP_URL: z.string().default(''),
  MAIL_FROM: z.string().default('Aviary <no-reply@aviary.localhost>'),
};

export const shapes = {
  api: {
    ...commonShape,
    ...edgeShape,
    ...database,
    REDIS_URL: secret(z.string().default('')),
    API_PORT: port.default(8080),
    /** Private: gate redeems codes, metrics are scraped; never routed by the proxy. */
    API_PRIVATE_PORT: port.default(8081),
    API_HOST: z.string().default('0.0.0.0'),
    /** Seed of the Ed25519 key that signs access tokens and sign-on sessions. */
    SIGN_ON_SEED: secret(key32),
    /** Peers whose X-Forwarded-For is believed. */
    TRUSTED_PROXIES: list,
    ENGINE_ID: engineIdSchema.default('local'),
    ADDRESS_POOL: cidr.default('10.128.0.0/14'),
    /** The agent's private port, for its metrics and stacks' logs. */
    AGENT_SOCKET: agentSocket,
    /** The built web pages. */
    WEB_DIR: z.string().default('dist/apps/web'),
  },
  worker: {
    ...commonShape,
    ...edgeShape,
    ...database,
    ...mail,
    SMTP_URL: secret(mail.SMTP_URL),
    /** Health for the container's own check, metrics for a scraper on the portal's network. */
    WORKER_HEALTH_PORT: port.default(8083),
    WORKER_HEALTH_HOST: z.string().default('127.0.0.1'),
    PORTAL_BACKUP_HOUR: portalBackupHour,
    PORTAL_BACKUP_OVERDUE_HOURS: portalBackupOverdueHours,
  },
  gate: {
    ...commonShape,
    ...edgeShape,
    GATE_PORT: port.default(8082),
    GATE_HOST: z.string().default('0.0.0.0'),
    GATE_SEED: secret(key32),
    /** SPKI DER in base64 of the portal's sign-on key. */
    SIGN_ON_PUBLIC_KEY: z.string().min(1),
    /** Of each api; whichever takes a connection is asked. */
    API_PRIVATE_URLS: list.pipe(z.array(z.url()).min(1)),
    /** Of all gates: each keeps a list of its own there and reads the others’. */
    GATE_STATE_DIR: z.string().min(1),
    /** Of this one among them. */
    GATE_NAME: z
      .string()
      .regex(/^[a-z][a-z0-9]*$/)
      .default('gate'),
  },
  agent: {
    ...commonShape,
    ...edgeShape,
    ...database,
    ...masterKeys,
    ENGINE_ID: engineIdSchema.default('local'),
    /** Empty asks the Docker socket of this host; `tcp://…` or `unix://…` names another. */
    ENGINE_ENDPOINT: z.string().default('unix:///var/run/docker.sock'),
    DATA_DIR: dataDir,
    ADDRESS_POOL: cidr.default('10.128.0.0/14'),
    TEMPLATE_DIR: z.string().default('/app/tenant-template'),
    GATE_PUBLIC_KEY: z.string().min(1),
    /** Where Traefik reaches the portal's processes. */
    API_URLS: list.pipe(z.array(z.url()).min(1).max(2)),
    /** In the same order the ports on which each api says that it is ending; where left out, it cannot be asked. */
    API_PRIVATE_URLS: list.pipe(z.array(z.url()).max(2)),
    /** Of each gate, where the proxy reaches it. */
    GATE_URLS: list.pipe(z.array(z.url()).min(1).max(2)),
    /** The engine's resolvers (IPv4), which stacks may ask for names; `up` finds them on the host. */
    RESOLVERS: list.pipe(z.array(z.ipv4())),
    /** Largest packet in bytes of the stacks' networks, as of the host's way out; the engine's own choice where not set. */
    MTU: z.coerce.number().int().min(576).max(65_536).optional(),
    /** Image that carries iptables, used for the firewall helper. */
    TOOLS_IMAGE: z.string().min(1),
    /** What a template's ${AVIARY_IMAGE_…} stand for in stacks made from now on. */
    IMAGE_POSTGRES: z.string().min(1),
    IMAGE_REDIS: z.string().min(1),
    IMAGE_RUNTIME: z.string().min(1),
    TLS_MODE: z.enum(['local', 'files', 'acme']).default('local'),
    ACME_EMAIL: z.string().default(''),
    ACME_DIRECTORY: z.string().default(''),
    /** lego's name of the DNS provider for the tenants' wildcard. */
    ACME_DNS_PROVIDER: z.string().default(''),
    /** All addresses that lead to this host; empty where nobody said. */
    PUBLIC_ADDRESSES: addresses,
    PROXY_PORT: proxyPort,
    AGENT_SOCKET: agentSocket,
    /** The host's control groups and processes, mounted read-only: what stacks and host use is read there. */
    HOST_CGROUP_DIR: z.string().default('/host/cgroup'),
    HOST_PROC_DIR: z.string().default('/host/proc'),
    /** Repositories of backups lie below it, one for each stack: a folder, or `s3:https://host/bucket`. */
    BACKUP_URL: backupUrl.default('/var/lib/aviary/backups'),
    BACKUP_S3_REGION: s3Region,
    /** Holds `key-id` and `secret-key`, where backups go to S3. */
    BACKUP_S3_DIR: z.string().default('/var/lib/aviary/s3'),
    RESTIC_BINARY: resticBinary,
    /** What restic may look up again, and its packs under way: all of it encrypted. */
    RESTIC_CACHE_DIR: z.string().default('/var/lib/aviary/restic'),
    /** In memory and of this process alone: passwords lie there while a restic runs. */
    SECRET_DIR: z.string().default('/run/aviary-secrets'),
    /** What `.env` says without its secrets, and which of those are set, as JSON: part of the portal's own backups. A file, since it is long. */
    HOST_SETTINGS: secret(z.string().default('{}')),
    LEASE_SECONDS: leaseSeconds,
    ORPHAN_GRACE_HOURS: orphanGraceHours,
    ...capacity,
    PROVISION_PARALLEL: provisionParallel,
    /** Whoever knows it can say that all is well. */
    HEARTBEAT_URL: secret(heartbeatUrl),
  },
  cli: {
    ...commonShape,
    ...edgeShape,
    ...database,
    /** The agent's private port, for stacks' logs. */
    AGENT_SOCKET: agentSocket,
    ENGINE_ID: engineIdSchema.default('local'),
    ADDRESS_POOL: cidr.default('10.128.0.0/14'),
    PORTAL_BACKUP_OVERDUE_HOURS: portalBackupOverdueHours,
  },
  /** What a person may set in `.env`; `up` makes every other setting of the processes from these. */
  host: {
    ENV: commonShape.ENV,
    LOG_LEVEL: commonShape.LOG_LEVEL,
    TIME_ZONE: commonShape.TIME_ZONE,
    ...edgeShape,
    DATA_DIR: z
      .string()
      .regex(/^\/[\w./-]+$/, 'must be an absolute path without spaces')
      .default('/var/lib/aviary'),
    ADDRESS_POOL: cidr.default('10.128.0.0/14'),
    /** Where the engine's socket lies on its host; the agent alone gets it. */
    ENGINE_SOCKET: z.string().startsWith('/').default('/var/run/docker.sock'),
    PROXY_PORT: proxyPort,
    TLS_MODE: z.enum(['local', 'files', 'acme']).default('local'),
    ACME_EMAIL: z.string().default(''),
    ACME_DIRECTORY: z.string().default(''),
    ACME_DNS_PROVIDER: z.string().default(''),
    PUBLIC_ADDRESSES: addresses,
    /** Less memory than this, and less free disk at the first start, is refused. */
    LEAST_MEMORY_MB: atLeast(0).default(1_536),
    LEAST_DISK_GB: atLeast(0).default(8),
    LEASE_SECONDS: leaseSeconds,
    ORPHAN_GRACE_HOURS: orphanGraceHours,
    PROVISION_PARALLEL: provisionParallel,
    HEARTBEAT_URL: heartbeatUrl,
    /** Empty for the folder `backups` of the data folder. */
    BACKUP_URL: z.union([z.literal(''), backupUrl]).default(''),
    BACKUP_S3_REGION: s3Region,
    PORTAL_BACKUP_HOUR: portalBackupHour,
    PORTAL_BACKUP_OVERDUE_HOURS: portalBackupOverdueHours,
    ...capacity,
    /** In `keys` of the data folder. `AVIARY_MASTER_KEY` itself is generated where neither of these is set. */
    MASTER_KEY_FILE: z.string().default(''),
    MASTER_KEY_COMMAND: z.string().default(''),
    NEXT_MASTER_KEY_FILE: z.string().default(''),
    NEXT_MASTER_KEY_COMMAND: z.string().default(''),
    OPERATOR_EMAIL: z.email().default('operator@aviary.localhost'),
    // No file here: `.env` is the one place a person sets it in, and `up` makes the files of that.
    ...mail,
  },
  /** What scripts/lib/host.sh hands to the host's commands and nobody sets: texts of the host's own files. */
  hostCommand: {
    HOST_RESOLV_CONF: z.string().default(''),
    HOST_SYSTEMD_RESOLV_CONF: z.string().default(''),
    HOST_DAEMON_JSON: z.string().default(''),
    /** Not empty: no image registry is asked. */
    NO_REGISTRY: z.string().default(''),
    RESTIC_BINARY: resticBinary,
  },
  /** Whether the master key is the one the database is sealed with; `up` asks before it makes the agent anew. */
  keyCheck: { ...commonShape, ...database, ...masterKeys, DATA_DIR: dataDir },
  migrate: { ...commonShape, OWNER_DATABASE_URL: secret(postgresUrl), APP_PASSWORD: secret(z.string().min(16)) },
} as const;

export type ProcessName = keyof typeof shapes;
export type Config<P extends ProcessName> = Readonly<z.infer<z.ZodObject<(typeof shapes)[P]>>>;
