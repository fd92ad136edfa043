import type { Database } from '#libs/db';
import type { ProxyFigures } from './proxy-keeper.js';

export interface AgentFigures {
  /** Holds the lease of the engine. */
  active: boolean;
  proxy: ProxyFigures;
  /** From the writing of a route until the proxy served it; null before the first time. */
  routeLagMs: number | null;
}

const metric = (name: string, type: 'gauge' | 'counter', help: string, lines: readonly string[]): string[] => [
  `# HELP ${name} ${help}`,
  `# TYPE ${name} ${type}`,
  ...lines,
];

/** In the text format of Prometheus. */
export async function agentMetrics(database: Database, engineId: string, figures: AgentFigures): Promise<string> {
  const rows = await database.query<{ kind: string; state: string; n: string }[]>(
    `select kind, state, count(*) as n from operations where engine_id = $1 group by kind, state order by kind, state`,
    [engineId],
  );
  const { active, proxy, routeLagMs } = figures;
  return [
    ...metric(
      'aviary_operations',
      'gauge',
      'Operations of this engine by kind and state.',
      rows.map(({ kind, state, n }) => `aviary_operations{kind="${kind}",state="${state}"} ${n}`),
    ),
    ...metric('aviary_agent_active', 'gauge', 'One where this agent works, zero where it stands by.', [
      `aviary_agent_active ${active ? 1 : 0}`,
    ]),
    ...metric('aviary_proxy_mismatches', 'gauge', 'Things the proxy serves otherwise than the route files say.', [
      `aviary_proxy_mismatches ${proxy.mismatches}`,
    ]),
    ...metric('aviary_proxy_repairs_total', 'counter', 'Repairs of such, by writing files again and by a restart.', [
      `aviary_proxy_repairs_total{by="files"} ${proxy.repairs.file}`,
      `aviary_proxy_repairs_total{by="restart"} ${proxy.repairs.restart}`,
    ]),
    ...metric(
      'aviary_route_lag_seconds',
      'gauge',
      'From the writing of a route until the proxy served it, last time.',
      routeLagMs === null ? [] : [`aviary_route_lag_seconds ${routeLagMs / 1_000}`],
    ),
    '',
  ].join('\n');
}
