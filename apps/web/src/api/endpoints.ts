import {
  acceptedSchema,
  accessSchema,
  alarmListSchema,
  alarmSchema,
  backupAcceptedSchema,
  backupListSchema,
  capacityViewSchema,
  disclaimerSchema,
  dutiesSchema,
  exportAskedSchema,
  exportViewSchema,
  domainListSchema,
  domainViewSchema,
  fleetBackupsSchema,
  fleetOverviewSchema,
  hostUsageSchema,
  operationListSchema,
  orphanListSchema,
  operationViewSchema,
  outboxListSchema,
  outboxMailSchema,
  planListSchema,
  restoreLossSchema,
  releaseListSchema,
  releaseViewSchema,
  rolloutListSchema,
  rolloutPlanSchema,
  rolloutReportSchema,
  rolloutViewSchema,
  signOnResponseSchema,
  stackListSchema,
  stackLogSchema,
  stackUsageSchema,
  stackViewSchema,
  userListSchema,
  type CloneStack,
  type Access,
  type AskExport,
  type Login,
  type OperationState,
  type OutboxMail,
  type Register,
  type MakeRelease,
  type ReleaseMove,
  type PlanRollout,
  type RolloutMove,
  type RolloutView,
  type SignOnRequest,
  type StackStatus,
  type TakeBackup,
  type UsageRange,
} from '#libs/contracts';
import type { ApiClient } from './client.js';

export interface PageQuery {
  cursor?: string | undefined;
  limit?: number | undefined;
}
export interface StackQuery extends PageQuery {
  q?: string | undefined;
  status?: StackStatus | undefined;
}
export interface OperationQuery extends PageQuery {
  slug?: string | undefined;
  state?: OperationState | undefined;
}
export type StackAction = 'start' | 'stop' | 'restart' | 'hibernate' | 'wake';

function withQuery(path: string, query: object): string {
  const set = Object.entries(query).flatMap(([key, value]) =>
    value === undefined || value === '' ? [] : [[key, String(value)]],
  );
  return set.length === 0 ? path : `${path}?${new URLSearchParams(set).toString()}`;
}

/** Every route the pages use, by name. */
export function createEndpoints(client: ApiClient) {
  const post = { method: 'POST' } as const;
  const anonymous = { method: 'POST', anonymous: true } as const;
  return {
    disclaimer: (signal?: AbortSignal) =>
      client.request(disclaimerSchema, '/auth/disclaimer', { anonymous: true, ...(signal ? { signal } : {}) }),
    register: (body: Register) => client.request(null, '/auth/register', { ...anonymous, body }),
    verify: (token: string) => client.request(null, '/auth/verify', { ...anonymous, body: { token } }),
    resend: (email: string) => client.request(null, '/auth/resend', { ...anonymous, body: { email } }),
    login: async (body: Login): Promise<Access> => {
      const access = await client.request(accessSchema, '/auth/login', { ...anonymous, body });
      client.signedIn(access);
      return access;
    },
    logout: async (): Promise<void> => {
      await client.request(null, '/auth/logout', post);
      client.signedOut();
    },
    stacks: (query: StackQuery = {}) => client.request(stackListSchema, withQuery('/stacks', query)),
    logs: (slug: string, query: { service: string; tail: number; q: string | undefined }) =>
      client.request(stackLogSchema, withQuery(`/stacks/${slug}/logs`, query)),
    usage: (slug: string, range: UsageRange) =>
      client.request(stackUsageSchema, withQuery(`/stacks/${slug}/usage`, { range })),
    stack: (slug: string) => client.request(stackViewSchema, `/stacks/${slug}`),
    createStack: (body: { name?: string }, idempotencyKey: string) =>
      client.request(acceptedSchema, '/stacks', { ...post, body, idempotencyKey }),
    actOnStack: (slug: string, action: StackAction, idempotencyKey: string) =>
      client.request(acceptedSchema, `/stacks/${slug}/${action}`, { ...post, idempotencyKey }),
    resizeStack: (slug: string, plan: string, idempotencyKey: string) =>
      client.request(acceptedSchema, `/stacks/${slug}/resize`, { ...post, body: { plan }, idempotencyKey }),
    rotateSecrets: (slug: string, idempotencyKey: string) =>
      client.request(acceptedSchema, `/stacks/${slug}/rotate-secrets`, { ...post, idempotencyKey }),
    upgradeStack: (slug: string, release: string, idempotencyKey: string) =>
      client.request(acceptedSchema, `/stacks/${slug}/upgrade`, { ...post, body: { release }, idempotencyKey }),
    backups: (slug: string, query: PageQuery = {}) =>
      client.request(backupListSchema, withQuery(`/stacks/${slug}/backups`, query)),
    takeBackup: (slug: string, body: TakeBackup, idempotencyKey: string) =>
      client.request(backupAcceptedSchema, `/stacks/${slug}/backups`, { ...post, body, idempotencyKey }),
    askExport: (slug: string, body: AskExport) =>
      client.request(exportAskedSchema, `/stacks/${slug}/exports`, { ...post, body }),
    stopExport: (slug: string, id: string) =>
      client.request(exportViewSchema, `/stacks/${slug}/exports/${id}`, { method: 'DELETE' }),
    restoreLoss: (slug: string, backup: string) =>
      client.request(restoreLossSchema, `/stacks/${slug}/backups/${backup}/loss`),
    restoreStack: (slug: string, backup: string, idempotencyKey: string) =>
      client.request(acceptedSchema, `/stacks/${slug}/restore`, {
        ...post,
        body: { backup, confirm: slug },
        idempotencyKey,
      }),
    cloneBackup: (slug: string, body: CloneStack, idempotencyKey: string) =>
      client.request(acceptedSchema, `/stacks/${slug}/clone`, { ...post, body, idempotencyKey }),
    allowTrading: (slug: string, idempotencyKey: string) =>
      client.request(acceptedSchema, `/stacks/${slug}/allow-trading`, {
        ...post,
        body: { confirm: slug },
        idempotencyKey,
      }),
    undoRestore: (slug: string, idempotencyKey: string) =>
      client.request(acceptedSchema, `/stacks/${slug}/undo-restore`, {
        ...post,
        body: { confirm: slug },
        idempotencyKey,
      }),
    domains: (slug: string) => client.request(domainListSchema, `/stacks/${slug}/domains`),
    addDomain: (slug: string, domain: string) =>
      client.request(domainViewSchema, `/stacks/${slug}/domains`, { ...post, body: { domain } }),
    verifyDomain: (slug: string, domain: string) =>
      client.request(domainViewSchema, `/stacks/${slug}/domains/${domain}/verify`, post),
    removeDomain: (slug: string, domain: string) =>
      client.request(null, `/stacks/${slug}/domains/${domain}`, { method: 'DELETE' }),
    destroyStack: (slug: string, idempotencyKey: string) =>
      client.request(acceptedSchema, `/stacks/${slug}`, { method: 'DELETE', body: { confirm: slug }, idempotencyKey }),
    operations: (query: OperationQuery = {}) => client.request(operationListSchema, withQuery('/operations', query)),
    operation: (id: string) => client.request(operationViewSchema, `/operations/${id}`),
    cancelOperation: (id: string) => client.request(operationViewSchema, `/operations/${id}/cancel`, post),
    signOn: (body: SignOnRequest) => client.request(signOnResponseSchema, '/sign-on', { ...post, body }),
    operator: {
      capacity: () => client.request(capacityViewSchema, '/operator/capacity'),
      orphans: () => client.request(orphanListSchema, '/operator/orphans'),
      hostUsage: (range: UsageRange) => client.request(hostUsageSchema, withQuery('/operator/hosts/usage', { range })),
      alarms: () => client.request(alarmListSchema, '/operator/alarms'),
      acknowledgeAlarm: (key: string) =>
        client.request(alarmSchema, '/operator/alarms/acknowledge', { ...post, body: { key } }),
      schedules: () => client.request(dutiesSchema, '/operator/schedules'),
      plans: () => client.request(planListSchema, '/operator/plans'),
      backups: (query: PageQuery = {}) => client.request(fleetBackupsSchema, withQuery('/operator/backups', query)),
      releases: () => client.request(releaseListSchema, '/operator/releases'),
      moveRelease: (id: string, move: ReleaseMove) =>
        client.request(releaseViewSchema, `/operator/releases/${encodeURIComponent(id)}/${move}`, post),
      makeRelease: (wish: MakeRelease) =>
        client.request(releaseViewSchema, '/operator/releases', { ...post, body: wish }),
      setReleaseNotes: (id: string, notes: string) =>
        client.request(releaseViewSchema, `/operator/releases/${encodeURIComponent(id)}/notes`, {
          ...post,
          body: { notes },
        }),
      markReleaseFixed: (id: string) =>
        client.request(releaseViewSchema, `/operator/releases/${encodeURIComponent(id)}/fixed`, post),
      rollouts: (query: PageQuery = {}) => client.request(rolloutListSchema, withQuery('/operator/rollouts', query)),
      planRollout: (order: PlanRollout) =>
        client.request(rolloutPlanSchema, '/operator/rollouts/plan', { ...post, body: order }),
      startRollout: (order: PlanRollout, idempotencyKey: string) =>
        client.request(rolloutViewSchema, '/operator/rollouts', {
          ...post,
          body: { ...order, confirm: order.release },
          idempotencyKey,
        }),
      rollout: (id: string) => client.request(rolloutViewSchema, `/operator/rollouts/${id}`),
      rolloutStacks: (id: string, query: PageQuery = {}) =>
        client.request(rolloutReportSchema, withQuery(`/operator/rollouts/${id}/stacks`, query)),
      /** Going on with one that halted says that its failures are known: so many as were shown, and none newer. */
      moveRollout: (id: string, move: RolloutMove, { failures, newest }: RolloutView['budget']) =>
        client.request(rolloutViewSchema, `/operator/rollouts/${id}/${move}`, {
          ...post,
          body: move === 'resume' ? { acknowledge: true, failures, newest } : {},
        }),
      overview: () => client.request(fleetOverviewSchema, '/operator/overview'),
      stacks: (query: StackQuery = {}) => client.request(stackListSchema, withQuery('/operator/stacks', query)),
      operations: (query: OperationQuery = {}) =>
        client.request(operationListSchema, withQuery('/operator/operations', query)),
      suspend: (slug: string, note: string, idempotencyKey: string) =>
        client.request(acceptedSchema, `/operator/stacks/${slug}/suspend`, { ...post, body: { note }, idempotencyKey }),
      resume: (slug: string, idempotencyKey: string) =>
        client.request(acceptedSchema, `/operator/stacks/${slug}/resume`, { ...post, idempotencyKey }),
      users: (query: PageQuery & { q?: string | undefined } = {}) =>
        client.request(userListSchema, withQuery('/operator/users', query)),
      outbox: (query: PageQuery & { state?: OutboxMail['state'] | undefined } = {}) =>
        client.request(outboxListSchema, withQuery('/operator/outbox', query)),
      mail: (id: string) => client.request(outboxMailSchema, `/operator/outbox/${id}`),
      resendMail: (id: string) => client.request(outboxMailSchema, `/operator/outbox/${id}/resend`, post),
    },
  };
}
export type Endpoints = ReturnType<typeof createEndpoints>;
