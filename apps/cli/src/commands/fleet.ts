import {
  engineTroubles,
  queueIsOld,
  type EngineStanding,
  type EngineTrouble,
  type FleetOverview,
} from '#libs/contracts';
import type { Command } from 'commander';
import { handle, type Action, type Environment } from '../frame/command.js';
import { looked } from '../frame/problems.js';
import { formatPlain, formatTable, type Column } from '../frame/table.js';

const SCHEMA = 'aviary/fleet/1';

/** `of`: what it is told of, an engine or the platform; `at`: as of when, where that is not now. */
interface Figure {
  of: string;
  figure: string;
  value: string;
  at?: string;
}

const COLUMNS: readonly Column<Figure>[] = [
  { head: 'of', value: ({ of }) => of },
  { head: 'figure', value: ({ figure }) => figure },
  { head: 'value', value: ({ value }) => value },
  { head: 'as of', value: ({ at }) => at ?? '' },
];

const TROUBLES: Record<EngineTrouble, string> = {
  silent: 'its agent says nothing: docker logs of the agent, aviary doctor',
  noAgent: 'nobody holds its lease, so nothing is worked on: aviary doctor',
  proxySilent: 'its proxy does not answer: aviary alarm list',
  routesNotServed: 'its proxy does not serve every route: aviary alarm list',
  lag: 'it was not looked at for more than ten minutes: docker logs of the agent',
  ordersSpent: 'of a certificate no more may be ordered until the time in its line',
};

const UNKNOWN = 'not known';
const seconds = (value: number): string => `${value.toFixed(1)} s`;
const left = ({ left: more, of }: { left: number; of: number }): string => `${more} of ${of}`;

function platformFigures({ stacks, operations, users, outbox }: FleetOverview): Figure[] {
  const { oldestQueuedSeconds: oldest } = operations;
  const waits = oldest === null ? '' : `, the oldest for ${seconds(oldest)}`;
  const one = (figure: string, value: string): Figure => ({ of: 'platform', figure, value });
  return [
    one('stacks', `${stacks.total}, ${stacks.asWanted} as wanted`),
    ...Object.entries(stacks.byStatus).map(([status, count]) => one(`stacks ${status}`, String(count))),
    one('operations', `${operations.running} run, ${operations.queued} wait${waits}, ${operations.overdue} overdue`),
    one('operations in a day', `${operations.doneLastDay} done, ${operations.failedLastDay} failed`),
    one('users', String(users.total)),
    one('mails', `${outbox.queued} wait, ${outbox.failed} failed, ${outbox.sentLastDay} sent in a day`),
  ];
}

function engineFiguresOf({ engine, seenAt, lease, standBy, figures }: EngineStanding): Figure[] {
  const one = (figure: string, value: string, at?: string): Figure => ({
    of: engine,
    figure,
    value,
    ...(at === undefined ? {} : { at }),
  });
  const holder = lease === null ? 'nobody yet' : lease.held ? lease.owner : `nobody; ${lease.owner} until it ran out`;
  const pass = figures?.pass ?? null;
  const routes = figures?.routes ?? null;
  return [
    one('last sign of life', '', seenAt),
    one('worked on by', holder, lease?.held === false ? lease.expiresAt : lease?.takenAt),
    ...(standBy.length === 0 ? [one('stands by', 'nobody')] : []),
    ...standBy.map((agent) => one('stands by', agent.owner, agent.seenAt)),
    pass === null
      ? one('last whole pass', UNKNOWN)
      : one('last whole pass', `${seconds(pass.seconds)} over ${pass.stacks} stacks`, pass.at),
    ...(figures === null
      ? []
      : [
          one('reconcile lag', seconds(figures.reconcileLagSeconds), figures.at),
          routes === null
            ? one('routes served', UNKNOWN)
            : one('routes served', `${routes.served ?? 'not known'} of ${routes.rendered}`, routes.at),
          one(
            'proxy repaired',
            `${figures.proxyRepairs.files} by files, ${figures.proxyRepairs.restarts} by a restart`,
            figures.at,
          ),
          one('new route live', figures.routeLagMs === null ? UNKNOWN : `after ${figures.routeLagMs} ms`, figures.at),
          ...(figures.acme === null
            ? []
            : [
                ...figures.acme.certificates.map(({ name, issued, failed, nextAt }) =>
                  one(
                    `orders left for ${name}`,
                    `${left(issued)} in a week, ${left(failed)} failed ones in half a day${nextAt === null ? '' : `; next at ${nextAt}`}`,
                    figures.at,
                  ),
                ),
                one('orders left for domains', `${left(figures.acme.shared)} in three hours`, figures.at),
              ]),
        ]),
  ];
}

/** What of all this somebody has to see to; null where nothing is. */
function wrongOf(fleet: FleetOverview): string | null {
  const { stacks, operations, outbox, engines } = fleet;
  const found = [
    [stacks.byStatus.attention ?? 0, 'stacks need attention: aviary tenant list --state attention'],
    [operations.overdue, 'operations are overdue: aviary operation list --state running'],
    [queueIsOld(fleet) ? operations.queued : 0, 'operations wait and nobody takes them: aviary doctor'],
    [outbox.failed, 'mails failed: aviary outbox list --state failed'],
  ] as const;
  const sentences = [
    ...found.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}.`),
    ...engines.flatMap((engine) =>
      engineTroubles(engine, fleet.at).map((trouble) => `${engine.engine}: ${TROUBLES[trouble]}.`),
    ),
  ];
  return sentences.length === 0 ? null : sentences.join(' ');
}

const show: Action = async (context) => {
  const platform = await context.platform();
  const fleet = await platform.fleet.read(await platform.operator());
  const rows = [...platformFigures(fleet), ...fleet.engines.flatMap(engineFiguresOf)];
  const { output } = context;
  return looked(context, {
    schema: SCHEMA,
    data: fleet,
    print: () =>
      output.result(SCHEMA, fleet, output.options.plain ? formatPlain(rows, COLUMNS) : formatTable(rows, COLUMNS, 0)),
    wrong: wrongOf(fleet),
  });
};

export function fleetCommands(program: Command, environment: Environment): void {
  program
    .command('fleet')
    .description('all stacks together, and the engines they run on')
    .command('show')
    .description('counts, who works on each engine, its last pass and routes; exit 8 where somebody has to see to it')
    .action(handle(environment, SCHEMA, show));
}
