import type { OperationList, OperationView, StackList, StackView, UsageRange } from '#libs/contracts';
import { queryOptions, type QueryClient } from '@tanstack/react-query';
import type { Endpoints, OperationQuery } from './endpoints.js';

export const keys = {
  disclaimer: ['disclaimer'] as const,
  stacks: ['stacks'] as const,
  stack: (slug: string) => ['stack', slug] as const,
  operations: (query: OperationQuery) => ['operations', query] as const,
  operation: (id: string) => ['operation', id] as const,
  overview: ['operator', 'overview'] as const,
  capacity: ['operator', 'capacity'] as const,
  orphans: ['operator', 'orphans'] as const,
  alarms: ['operator', 'alarms'] as const,
  schedules: ['operator', 'schedules'] as const,
  plans: ['operator', 'plans'] as const,
  /** Below the stack's own, so that what changes the stack renews them too. */
  backups: (slug: string) => ['stack', slug, 'backups'] as const,
  fleetBackups: ['operator', 'backups'] as const,
  releases: ['operator', 'releases'] as const,
  rollouts: ['operator', 'rollouts'] as const,
  /** Below all of them, so that what moves one renews the list too. */
  rollout: (id: string) => ['operator', 'rollouts', id] as const,
  domains: (slug: string) => ['domains', slug] as const,
};

/** Pages without a stream look again this often: in the console somebody may be waiting for a machine to come back. */
export const POLL_MS = 5_000;

export const stacksQuery = (api: Endpoints) =>
  queryOptions({ queryKey: keys.stacks, queryFn: () => api.stacks({ limit: 50 }), refetchInterval: POLL_MS });

export const stackQuery = (api: Endpoints, slug: string) =>
  queryOptions({ queryKey: keys.stack(slug), queryFn: () => api.stack(slug) });

export const domainsQuery = (api: Endpoints, slug: string) =>
  queryOptions({ queryKey: keys.domains(slug), queryFn: () => api.domains(slug), refetchInterval: POLL_MS });

/** Measured once a minute. */
const USAGE_MS = 60_000;

export const usageQuery = (api: Endpoints, slug: string, range: UsageRange) =>
  queryOptions({
    queryKey: ['usage', slug, range] as const,
    queryFn: () => api.usage(slug, range),
    refetchInterval: USAGE_MS,
  });

export const hostUsageQuery = (api: Endpoints, range: UsageRange) =>
  queryOptions({
    queryKey: ['operator', 'hosts', range] as const,
    queryFn: () => api.operator.hostUsage(range),
    refetchInterval: USAGE_MS,
  });

export const alarmsQuery = (api: Endpoints) =>
  queryOptions({ queryKey: keys.alarms, queryFn: api.operator.alarms, refetchInterval: POLL_MS });

export const rolloutQuery = (api: Endpoints, id: string) =>
  queryOptions({ queryKey: keys.rollout(id), queryFn: () => api.operator.rollout(id), refetchInterval: POLL_MS });

/** The fleet in figures, and its engines. */
export const overviewQuery = (api: Endpoints) =>
  queryOptions({ queryKey: keys.overview, queryFn: api.operator.overview, refetchInterval: POLL_MS });

/** Counted for each question anew, and once: it reads the stack's own database. */
export const restoreLossQuery = (api: Endpoints, slug: string, backup: string) =>
  queryOptions({
    queryKey: ['restore-loss', slug, backup] as const,
    queryFn: () => api.restoreLoss(slug, backup),
    gcTime: 0,
    retry: false,
    refetchOnWindowFocus: false,
    refetchOnReconnect: false,
  });

/** The figures of the whole fleet, and its least safe stack. */
export const fleetBackupsQuery = (api: Endpoints) =>
  queryOptions({
    queryKey: [...keys.fleetBackups, 'counts'] as const,
    queryFn: () => api.operator.backups({ limit: 1 }),
    refetchInterval: POLL_MS,
  });

export const operationsQuery = (api: Endpoints, query: OperationQuery) =>
  queryOptions({
    queryKey: keys.operations(query),
    queryFn: () => api.operations(query),
    refetchInterval: POLL_MS,
  });

export const operationQuery = (api: Endpoints, id: string) =>
  queryOptions({ queryKey: keys.operation(id), queryFn: () => api.operation(id) });

/** What a stream or an answer said about a stack, written wherever it is shown. */
export function putStack(queries: QueryClient, stack: StackView): void {
  queries.setQueryData<StackView>(keys.stack(stack.slug), stack);
  queries.setQueryData<StackList>(keys.stacks, (old) =>
    old === undefined ? undefined : { ...old, items: old.items.map((item) => (item.id === stack.id ? stack : item)) },
  );
  if (stack.openOperation !== null) {
    putOperation(queries, stack.openOperation);
  }
}

export function putOperation(queries: QueryClient, operation: OperationView): void {
  queries.setQueryData<OperationView>(keys.operation(operation.id), operation);
  queries.setQueriesData<OperationList>({ queryKey: ['operations'] }, (old) =>
    old === undefined
      ? undefined
      : { ...old, items: old.items.map((item) => (item.id === operation.id ? operation : item)) },
  );
}
