import { DomainError } from '#libs/contracts';
import {
  LABEL,
  type ContainerLimits,
  type ContainerSpec,
  type ContainerState,
  type EngineObjects,
  type NetworkSpec,
  type VolumeSpec,
} from '#libs/engine';
import type { StackWant } from './want.js';

/** What is there: the engine's objects of this tenant, the edges of this platform, and the route as it is published. */
export interface StackHave {
  objects: EngineObjects;
  edges: ReadonlySet<number>;
  /** Text of the route file, or null. */
  route: string | null;
}

/** What the route file should say; null removes it. */
export interface RouteWant {
  text: string | null;
}

type Step =
  | { kind: 'create edge'; edge: number }
  | { kind: 'write route'; text: string }
  | { kind: 'remove route' }
  | { kind: 'create network'; spec: NetworkSpec }
  | { kind: 'remove network'; name: string }
  | { kind: 'create volume'; spec: VolumeSpec }
  | { kind: 'remove volume'; name: string }
  | { kind: 'create container'; spec: ContainerSpec }
  | { kind: 'deliver files'; services: readonly string[] }
  | { kind: 'start container'; name: string }
  | { kind: 'stop container'; name: string; graceSeconds: number }
  | { kind: 'remove container'; name: string }
  | { kind: 'change limits'; name: string; limits: ContainerLimits }
  | { kind: 'connect network'; container: string; spec: ContainerSpec; network: string };

/** One thing to do, once everything it needs is done. Ids are `kind target`, so a plan can be read in a log. */
export type Action = Step & { id: string; target: string; needs: readonly string[] };
export type ActionKind = Action['kind'];

function action(step: Step, target: string, needs: readonly string[] = []): Action {
  return { ...step, id: `${step.kind} ${target}`, target, needs };
}

const sameLimits = (a: ContainerLimits, b: ContainerLimits): boolean =>
  a.memoryBytes === b.memoryBytes && a.pids === b.pids && Math.abs(a.cpus - b.cpus) < 0.001;

const isUp = (state: ContainerState): boolean =>
  state.status === 'running' || state.status === 'restarting' || state.status === 'paused';

/** A grace nobody declared: for containers found on the engine that the template no longer has. */
const UNKNOWN_GRACE_SECONDS = 30;

function removals(want: StackWant, have: StackHave): Action[] {
  const { containers, networks, volumes } = have.objects;
  const grace = new Map(want.containers.map(({ spec }) => [spec.name, spec.stopGraceSeconds]));
  const service = new Map(want.containers.map((wanted) => [wanted.spec.name, wanted.service]));
  const actions: Action[] = [];
  const stops: string[][] = [];
  for (const rank of [...want.stopOrder, null]) {
    const batch = containers.filter((state) => {
      const named = service.get(state.name);
      return isUp(state) && (rank === null ? named === undefined : named !== undefined && rank.includes(named));
    });
    const needs = stops.flat();
    const made = batch.map((state) =>
      action(
        { kind: 'stop container', name: state.name, graceSeconds: grace.get(state.name) ?? UNKNOWN_GRACE_SECONDS },
        state.name,
        needs,
      ),
    );
    actions.push(...made);
    stops.push(made.map(({ id }) => id));
  }
  for (const state of containers) {
    const stop = `stop container ${state.name}`;
    actions.push(
      action({ kind: 'remove container', name: state.name }, state.name, stops.flat().includes(stop) ? [stop] : []),
    );
  }
  const emptied = containers.map((state) => `remove container ${state.name}`);
  actions.push(...networks.map(({ name }) => action({ kind: 'remove network', name }, name, emptied)));
  actions.push(...volumes.map(({ name }) => action({ kind: 'remove volume', name }, name, emptied)));
  return actions;
}

function halts(want: StackWant, have: StackHave): Action[] {
  const byName = new Map(have.objects.containers.map((state) => [state.name, state]));
  const actions: Action[] = [];
  let before: string[] = [];
  for (const rank of want.stopOrder) {
    const batch = want.containers.filter(({ service, spec }) => {
      const state = byName.get(spec.name);
      return rank.includes(service) && state !== undefined && isUp(state);
    });
    const made = batch.map(({ spec }) =>
      action({ kind: 'stop container', name: spec.name, graceSeconds: spec.stopGraceSeconds }, spec.name, before),
    );
    actions.push(...made);
    before = [...before, ...made.map(({ id }) => id)];
  }
  return actions;
}

/** All secret files of a stack travel in one go, beside the making of networks and containers. */
const DELIVERY = 'deliver files secrets';

function containerActions(want: StackWant, have: StackHave, ground: ReadonlySet<string>): Action[] {
  const byName = new Map(have.objects.containers.map((state) => [state.name, state]));
  const starting: string[] = [];
  const actions = want.containers.flatMap(({ service, spec }) => {
    const state = byName.get(spec.name);
    const stale =
      state !== undefined &&
      (state.labels[LABEL.specHash] !== spec.labels[LABEL.specHash] ||
        state.labels[LABEL.generation] !== spec.labels[LABEL.generation]);
    const own: Action[] = [];
    if (stale && isUp(state)) {
      own.push(action({ kind: 'stop container', name: spec.name, graceSeconds: spec.stopGraceSeconds }, spec.name));
    }
    if (stale) {
      const needs = isUp(state) ? [`stop container ${spec.name}`] : [];
      own.push(action({ kind: 'remove container', name: spec.name }, spec.name, needs));
    }
    const create = state === undefined || stale;
    if (create) {
      const needs = [
        ...spec.networks.map(({ network }) => `create network ${network}`),
        ...spec.mounts.map(({ volume }) => `create volume ${volume}`),
        ...want.edges.map((edge) => `create edge ${edge}`),
      ].filter((id) => ground.has(id));
      own.push(
        action({ kind: 'create container', spec }, spec.name, [
          ...needs,
          ...(stale ? [`remove container ${spec.name}`] : []),
        ]),
      );
    }
    const mended = create ? [] : repairs(spec, state);
    own.push(...mended);
    if (create || !isUp(state)) {
      starting.push(service);
      const before = [DELIVERY, ...(create ? [`create container ${spec.name}`] : []), ...mended.map(({ id }) => id)];
      own.push(action({ kind: 'start container', name: spec.name }, spec.name, before));
    }
    return own;
  });
  // Before every start, not only the first: after a kill nobody knows whether the files arrived.
  const secrets = want.volumes.map(({ name }) => `create volume ${name}`).filter((id) => ground.has(id));
  const left = couriers(have);
  // The delivery sends a courier of the same name: removed at the same time, it would be the new one that goes.
  const before = [...secrets, ...left.map(({ id }) => id)];
  const delivery =
    starting.length > 0 ? [action({ kind: 'deliver files', services: starting }, 'secrets', before)] : [];
  return [...left, ...delivery, ...actions];
}

/** What carried files into volumes and was left by a crash. */
function couriers(have: StackHave): Action[] {
  return have.objects.containers
    .filter(({ labels, status }) => labels[LABEL.role] === 'courier' && status === 'created')
    .map(({ name }) => action({ kind: 'remove container', name }, name));
}

/** What can be mended without making the container anew. */
function repairs(spec: ContainerSpec, state: ContainerState): Action[] {
  const actions: Action[] = [];
  for (const { network } of spec.networks) {
    if (!state.networks[network]) {
      actions.push({
        ...action({ kind: 'connect network', container: spec.name, spec, network }, `${spec.name} ${network}`),
      });
    }
  }
  if (!sameLimits(spec.limits, state.limits)) {
    actions.push(action({ kind: 'change limits', name: spec.name, limits: spec.limits }, spec.name));
  }
  return actions;
}

function refuseLoss(want: StackWant, have: StackHave): void {
  const lost = want.keeps.find((name) => have.objects.volumes.every((volume) => volume.name !== name));
  if (lost !== undefined) {
    throw new DomainError('DATA_MISSING', {
      message: `The volume ${lost} with the stack’s data is gone. Nothing was made in its place: bring it back on the host, or destroy the stack.`,
      details: { why: 'volume', volume: lost },
    });
  }
}

/**
 * What to do so that `have` becomes `want`; empty when nothing is. Pure: the same reading gives the same plan, and
 * applying a plan and looking again gives an empty one. Throws DATA_MISSING where the plan would be to begin anew on an
 * empty volume in the place of one that held the stack's data.
 */
export function plan(want: StackWant, have: StackHave, route: RouteWant): Action[] {
  const routeActions: Action[] = [];
  if (route.text === null && have.route !== null) {
    routeActions.push(action({ kind: 'remove route' }, 'route'));
  } else if (route.text !== null && route.text !== have.route) {
    routeActions.push(action({ kind: 'write route', text: route.text }, 'route'));
  }
  if (want.gone) {
    return [...routeActions, ...removals(want, have)];
  }
  if (!want.run) {
    const routed = routeActions.map(({ id }) => id);
    return [...routeActions, ...halts(want, have).map((step) => ({ ...step, needs: [...step.needs, ...routed] }))];
  }
  refuseLoss(want, have);
  const networks = new Set(have.objects.networks.map(({ name }) => name));
  const volumes = new Set(have.objects.volumes.map(({ name }) => name));
  const ground: Action[] = [
    ...want.edges
      .filter((edge) => !have.edges.has(edge))
      .map((edge) => action({ kind: 'create edge', edge }, String(edge))),
    ...(networks.has(want.network.name)
      ? []
      : [action({ kind: 'create network', spec: want.network }, want.network.name)]),
    ...want.volumes
      .filter(({ name }) => !volumes.has(name))
      .map((spec) => action({ kind: 'create volume', spec }, spec.name)),
  ];
  return [...routeActions, ...ground, ...containerActions(want, have, new Set(ground.map(({ id }) => id)))];
}
