import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { parse, stringify } from 'yaml';
import { waitFor } from '#libs/async';
import { ScheduleEntity, ScheduleTickEntity } from '#libs/db';
import { settleAlarms } from '#libs/jobs';
import { parsePool, portalSubnet, recordUsage } from '#libs/tenants';
import { startPrivateServer } from '../../apps/agent/src/private-server.js';
import { AgentMetrics } from '../../apps/agent/src/watch/agent-metrics.js';
import { GateMetrics } from '../../apps/gate/src/metrics.js';
import { startHealthServer } from '../../apps/worker/src/health.server.js';
import { WorkerMetrics } from '../../apps/worker/src/worker-metrics.js';
import { WELL } from '../support/agent-figures.js';
import { person, stackOf, testApi, type TestApi } from '../support/api.js';
import { freePort } from '../support/ports.js';

jest.setTimeout(90_000);

const execute = promisify(execFile);
const FOLDER = resolve(import.meta.dirname, '../../monitoring');

interface ScrapeConfig {
  scrape_configs: { job_name: string; metrics_path?: string; static_configs: { targets: string[] }[] }[];
  rule_files: string[];
}
interface RuleTests {
  tests: { alert_rule_test: { alertname: string; exp_alerts: unknown[] }[] }[];
}
interface Rules {
  groups: { rules: { alert: string; expr: string }[] }[];
}

/** All four processes as they tell it, on what a small platform holds; a real Prometheus reads them. */
let t: TestApi;
let home: string;
let prometheus: ChildProcess;
let said = '';
let url: string;
/** Where each job of the scraper finds its process. */
let places: Record<string, string>;
const servers: { close(): unknown }[] = [];

async function listen(listener: RequestListener): Promise<string> {
  const server: Server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  servers.push(server);
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function startProcesses(): Promise<Record<string, string>> {
  const socket = join(home, 'agent.sock');
  t = await testApi({ AVIARY_AGENT_SOCKET: socket });
  const { dataSource } = t.db;
  const { stack } = await stackOf(t, await person(t));
  const service = { service: 'runtime', cpu: 0.1, memoryBytes: 50, memoryLimitBytes: 100, oomKills: 0, pids: 1 };
  const sample = { tenantId: stack.id, cpu: 0.1, memoryBytes: 60, receivedBytes: 60, sentBytes: 60, diskBytes: 70 };
  const stacks = [{ ...sample, services: [service] }];
  const engine = {
    cpu: 1,
    cores: 2,
    memoryBytes: 1,
    memoryTotalBytes: 4,
    diskBytes: 1,
    diskTotalBytes: 4,
    receivedBytes: 0,
    sentBytes: 0,
  };
  const at = new Date();
  await recordUsage(dataSource, { engineId: 'local', at, stacks, engine });
  await dataSource.query(
    `update operations set state = 'done', started_at = now(), finished_at = now() + interval '1 s'`,
  );
  await dataSource.query(
    `update operation_steps set state = 'done', started_at = now(), finished_at = now() + interval '1 s'`,
  );
  const agent = new AgentMetrics({
    dataSource,
    engineId: 'local',
    usage: () => ({ at, seconds: 60, stacks, engine }),
    tasks: () => ({ sweep: false }),
    agent: () => WELL,
    now: () => new Date(),
  });
  agent.routeWasLive(300);
  servers.push(
    await startPrivateServer(
      socket,
      () => Promise.resolve({ ok: true, checks: {} }),
      () => agent.read(),
    ),
  );
  const ago = (minutes: number): Date => new Date(Math.floor(Date.now() / 60_000 - minutes) * 60_000);
  const seal = { schedule: 'audit-seal', dueAt: ago(30), createdAt: ago(30), finishedAt: ago(30) };
  await dataSource
    .getRepository(ScheduleEntity)
    .insert({ name: 'audit-seal', cron: '* * * * *', job: 'audit.seal', graceSeconds: 240, createdAt: ago(60) });
  await dataSource.getRepository(ScheduleTickEntity).insert(seal);
  const stalled = { code: 'QUEUE_STALLED', severity: 'critical', message: 'Jobs wait.', params: {} } as const;
  await settleAlarms(dataSource, 'duty', { findings: [{ key: 'duty/queue/x', ...stalled }] }, new Date());
  const gate = new GateMetrics({ ageSeconds: () => 1 });
  const worker = new WorkerMetrics(dataSource);
  const health = await startHealthServer(
    { port: 0, host: '127.0.0.1' },
    () => Promise.resolve(),
    () => worker.read(),
  );
  servers.push(health);
  const api = new URL(await t.api.privateApp.getUrl()).host.replace('[::1]', '127.0.0.1');
  return {
    'aviary-api': api,
    'aviary-agent': api,
    'aviary-worker': `127.0.0.1:${health.port}`,
    'aviary-gate': await listen((request, response) => {
      gate.measure(request, response);
      void gate.read().then((text) => response.end(text));
    }),
  };
}

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'aviary-monitoring-'));
  places = await startProcesses();
  await cp(FOLDER, home, { recursive: true });
  const config = parse(await readFile(join(FOLDER, 'prometheus.yml'), 'utf8')) as ScrapeConfig;
  const port = await freePort();
  const ours = {
    ...config,
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    // the proxy is not part of this test
    scrape_configs: config.scrape_configs
      .filter(({ job_name }) => job_name in places)
      .map((job) => ({ ...job, static_configs: [{ targets: [places[job.job_name]] }] })),
  };
  await writeFile(join(home, 'prometheus.yml'), stringify(ours));
  url = `http://127.0.0.1:${port}`;
  prometheus = spawn(
    'prometheus',
    [
      `--config.file=${join(home, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(home, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  prometheus.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()));
  await waitFor(async () => ((await fetch(`${url}/-/ready`)).ok ? true : undefined), {
    what: 'Prometheus',
    deadlineMs: 30_000,
  });
});
afterAll(async () => {
  prometheus?.kill();
  if (prometheus?.exitCode === null) {
    await once(prometheus, 'exit');
  }
  await Promise.all(servers.map((server) => server.close()));
  await t?.close();
  await rm(home, { recursive: true, force: true });
});

type Value = { metric: Record<string, string>; value: [number, string] };
async function ask(query: string): Promise<Value[]> {
  const answer = await fetch(`${url}/api/v1/query?query=${encodeURIComponent(query)}`);
  const body = (await answer.json()) as { status: string; error?: string; data: { result: Value[] } };
  if (body.status !== 'success') {
    throw new Error(`${query}: ${body.error} ${said}`);
  }
  return body.data.result;
}

const names = (expression: string): string[] => [...expression.matchAll(/\baviary_[a-z0-9_]+/g)].map(([name]) => name);

async function everyExpression(): Promise<{ where: string; expr: string }[]> {
  const { groups } = parse(await readFile(join(FOLDER, 'alerts.yml'), 'utf8')) as Rules;
  const rules = groups.flatMap(({ rules: all }) => all.map(({ alert, expr }) => ({ where: alert, expr })));
  const boards = await Promise.all(
    (await readdir(join(FOLDER, 'grafana'))).map(async (file) => {
      const board = JSON.parse(await readFile(join(FOLDER, 'grafana', file), 'utf8')) as {
        panels: { title: string; targets: { expr: string }[] }[];
      };
      return board.panels.flatMap(({ title, targets }) =>
        targets.map(({ expr }) => ({ where: `${file}: ${title}`, expr: expr.replaceAll('$stack', '.*') })),
      );
    }),
  );
  return [...rules, ...boards.flat()];
}

interface Told {
  metric: string;
  /** Null where no series of it is there now. */
  labels: string[] | null;
  by: string;
  help: string;
}

/** Every metric of ours as the processes tell it, also those of which there is no series yet. */
async function toldMetrics(): Promise<Told[]> {
  const all = await Promise.all(
    Object.entries(places).map(async ([job, place]) => {
      const by = job.replace('aviary-', '');
      const text = await (await fetch(`http://${place}${by === 'agent' ? '/metrics/agent' : '/metrics'}`)).text();
      return [...text.matchAll(/^# HELP (aviary_\w+) (.*)$/gm)].map(([, metric = '', help = '']): Told => {
        const series = new RegExp(`^${metric}(?:_bucket|_sum|_count)?(?:\\{(.*)\\})? \\S+$`, 'gm');
        const found = [...text.matchAll(series)].map(([, labels = '']) =>
          [...labels.matchAll(/(\w+)="/g)].map(([, label = '']) => label).filter((label) => label !== 'le'),
        );
        // those of the sum: buckets and counters have the same
        return { metric, labels: found.at(-1) ?? null, by, help };
      });
    }),
  );
  return all.flat();
}

describe('monitoring', () => {
  it('scrapes all four processes, the agent through the api', async () => {
    const up = await waitFor(
      async () => {
        const all = await ask('up');
        return all.length === 4 && all.every(({ value }) => value[1] === '1') ? all : undefined;
      },
      { what: 'four processes that answer', deadlineMs: 20_000 },
    );
    expect(up.map(({ metric }) => metric['job']).toSorted((a = '', b = '') => a.localeCompare(b))).toEqual([
      'aviary-agent',
      'aviary-api',
      'aviary-gate',
      'aviary-worker',
    ]);
    expect((await ask('aviary_stack_memory_bytes'))[0]?.value[1]).toBe('60');
    expect((await ask('aviary_operation_duration_seconds_count{kind="provision"}'))[0]?.value[1]).toBe('1');
  });

  it('FM-11 tells how long ago recurring work was done, what of it was missed, and which alarms are open', async () => {
    const [age] = await waitFor(
      async () => {
        const found = await ask('aviary_schedule_last_run_age_seconds{schedule="audit-seal"}');
        return found.length > 0 ? found : undefined;
      },
      { what: 'a scrape of the worker', deadlineMs: 20_000 },
    );
    expect(Number(age?.value[1])).toBeGreaterThanOrEqual(30 * 60);
    const missed = Number((await ask('aviary_schedule_missed_runs{schedule="audit-seal"}'))[0]?.value[1]);
    expect([missed >= 25, missed <= 30]).toEqual([true, true]);
    const open = await ask('aviary_alarms_open > 0');
    expect(open.map(({ metric: { severity, acknowledged }, value }) => [severity, acknowledged, value[1]])).toEqual([
      ['critical', 'false', '1'],
    ]);
  });

  it('names no metric in rules and dashboards that nobody tells, and each expression can be evaluated', async () => {
    await waitFor(
      async () => ((await ask('aviary_gate_request_duration_seconds_count')).length > 0 ? true : undefined),
      {
        what: 'a second scrape of the gate',
        deadlineMs: 20_000,
      },
    );
    const answer = await fetch(`${url}/api/v1/label/__name__/values`);
    const told = new Set([
      ...((await answer.json()) as { data: string[] }).data,
      // a counter by label has no series before the first event
      ...(await toldMetrics()).map(({ metric }) => metric),
    ]);
    const expressions = await everyExpression();
    expect(expressions.length).toBeGreaterThan(35);
    for (const { where, expr } of expressions) {
      expect({ where, unknown: names(expr).filter((name) => !told.has(name)) }).toEqual({ where, unknown: [] });
      await ask(expr);
    }
  });

  it('documents every metric that is told with its labels and meaning, and none that is not', async () => {
    const readme = await readFile(join(FOLDER, 'README.md'), 'utf8');
    const rows = [...readme.matchAll(/^\| `(aviary_\w+)` \| (.*?) ?\| (\w+) \| (.*) \|$/gm)];
    const documented = new Map(
      rows.map(([, metric = '', labels = '', by = '', help = '']) => [metric, { labels, by, help }]),
    );
    expect(documented.size).toBe(rows.length);
    const told = await toldMetrics();
    const sorted = (names: Iterable<string>): string[] => [...names].toSorted((a, b) => a.localeCompare(b));
    expect(sorted(documented.keys())).toEqual(sorted(told.map(({ metric }) => metric)));
    for (const { metric, labels, by, help } of told) {
      const row = documented.get(metric);
      expect({ metric, by: row?.by, help: row?.help }).toEqual({ metric, by, help });
      if (labels !== null) {
        expect({ metric, labels: row?.labels }).toEqual({
          metric,
          labels: labels.map((name) => `\`${name}\``).join(', '),
        });
      }
    }
    // no process of this test has refused a request for its rate, nor has a mail, a job or a stack of every kind
    expect(told.filter(({ labels }) => labels === null).length).toBeLessThan(6);
  });

  it('loads the rules, and their own tests pass', async () => {
    const rules = (await (await fetch(`${url}/api/v1/rules`)).json()) as { data: Rules };
    const loaded = rules.data.groups.flatMap((group) =>
      group.rules.map((rule) => (rule as unknown as { name: string }).name),
    );
    const { groups } = parse(await readFile(join(FOLDER, 'alerts.yml'), 'utf8')) as Rules;
    const all = groups.flatMap((group) => group.rules.map(({ alert }) => alert));
    expect(new Set(loaded)).toEqual(new Set(all));
    const { tests } = parse(await readFile(join(FOLDER, 'alerts.test.yml'), 'utf8')) as RuleTests;
    const cases = tests.flatMap(({ alert_rule_test }) => alert_rule_test);
    // of a rule that is not there promtool says only that it does not fire
    expect(new Set(cases.map(({ alertname }) => alertname))).toEqual(new Set(all));
    const shown = (name: string, fires: boolean): boolean =>
      cases.some(({ alertname, exp_alerts }) => alertname === name && exp_alerts.length > 0 === fires);
    expect({
      neverFires: all.filter((name) => !shown(name, true)),
      neverSilent: all.filter((name) => !shown(name, false)),
    }).toEqual({ neverFires: [], neverSilent: [] });
    const { stdout } = await execute('promtool', ['test', 'rules', join(FOLDER, 'alerts.test.yml')]);
    expect(stdout).toContain('SUCCESS');
    // and they do fail on a rule that is another
    const broken = (await readFile(join(FOLDER, 'alerts.yml'), 'utf8')).replace('== 0', '== 2');
    await writeFile(join(home, 'alerts.yml'), broken);
    await expect(execute('promtool', ['test', 'rules', join(home, 'alerts.test.yml')])).rejects.toThrow('promtool');
  });

  it('ships the addresses the default settings give', async () => {
    const { hosts } = portalSubnet(parsePool('10.128.0.0/14'));
    const config = parse(await readFile(join(FOLDER, 'prometheus.yml'), 'utf8')) as ScrapeConfig;
    const targets = Object.fromEntries(
      config.scrape_configs.map((job) => [job.job_name, job.static_configs[0]?.targets]),
    );
    expect(targets).toEqual({
      'aviary-api': [`${hosts.api}:8081`, `${hosts.api2}:8081`],
      'aviary-agent': [`${hosts.api}:8081`],
      'aviary-gate': [`${hosts.gate}:8082`, `${hosts.gate2}:8082`],
      'aviary-worker': [`${hosts.worker}:8083`],
      'aviary-traefik': ['127.0.0.1:19080'],
    });
  });
});
