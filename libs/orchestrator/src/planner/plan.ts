import { DomainError, isDomainError } from '#libs/contracts';
import {
  LABEL,
  type ContainerLimits,
  type ContainerSpec,
  type ContainerState,
  type EngineObjects,
  type NetworkSpec,
  type VolumeSpec,
  type VolumeState,
} from '#libs/engine';
import { majorOfLabel, SCRATCH } from '#libs/tenants';
import type { StackWant } from './want.js';

/** What is there: the engine's objects of this tenant, the edges of this platform, and the route as it is published. */
export interface StackHave {
  objects: EngineObjects;
  edges: ReadonlySet<number>;
  /** Id by name of all edge networks of the platform, where they were looked at. */
  edgeIds?: ReadonlyMap<string, string>;
  /** Text of the route file, or null. */
  route: string | null;
  /** Services whose delivered files are not what was delivered, as far as they were looked at. */
  wrongFiles?: ReadonlySet<string>;
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
  | { kind: 'unpause container'; name: string }
  | { kind: 'stop container'; name: string; graceSeconds: number }
  | { kind: 'remove container'; name: string }
  | { kind: 'change limits'; name: string; limits: ContainerLimits }
  | { kind: 'set restart'; name: string; restart: ContainerSpec['restart'] }
  | { kind: 'connect network'; container: string; spec: ContainerSpec; network: string }
  | { kind: 'disconnect network'; container: string; network: string };

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

/** What stops the containers that are wanted, one rank after another. */
export function halts(want: StackWant, have: Pick<StackHave, 'objects'>): Action[] {
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
  // Or the engine would start again what a breaker stopped. Not beside the stop: the engine refuses to change a container
  // whose process ends in that moment.
  const stops = new Set(actions.map(({ id }) => id));
  const policies = want.containers.flatMap(({ spec }) => {
    const stop = `stop container ${spec.name}`;
    return restarts(spec, byName.get(spec.name), stops.has(stop) ? [stop] : []);
  });
  return [...actions, ...policies];
}

function restarts(spec: ContainerSpec, state: ContainerState | undefined, needs: readonly string[] = []): Action[] {
  return state === undefined || state.restart === spec.restart
    ? []
    : [action({ kind: 'set restart', name: spec.name, restart: spec.restart }, spec.name, needs)];
}

/** All secret files of a stack travel in one go, beside the making of networks and containers. */
const DELIVERY = 'deliver files secrets';

/** A name of an image says nothing of what it means today; an id does. */
const isImageId = (image: string): boolean => image.startsWith('sha256:');

/** What only a container made anew can mend. */
function isStale(spec: ContainerSpec, state: ContainerState, networkIds: ReadonlyMap<string, string | null>): boolean {
  return (
    state.labels[LABEL.specHash] !== spec.labels[LABEL.specHash] ||
    state.labels[LABEL.generation] !== spec.labels[LABEL.generation] ||
    // Somebody made it from what the tag means now.
    (isImageId(spec.image) && state.imageId !== spec.image) ||
    // It asks for its networks by the ids they had, and would not start with one that was made anew since.
    (!isUp(state) &&
      spec.networks.some(({ network }) => {
        const [known, named] = [networkIds.get(network), state.networks[network]?.networkId ?? ''];
        return known !== undefined && named !== '' && named !== known;
      }))
  );
}

/** Ids of the stack's networks after the ground is laid; null for one that is yet to be made, none where unknown. */
function networkIdsOf(want: StackWant, have: StackHave, ground: ReadonlySet<string>): Map<string, string | null> {
  const ids = new Map<string, string | null>();
  if (have.edgeIds) {
    for (const { network } of want.containers.flatMap(({ spec }) => spec.networks)) {
      ids.set(network, have.edgeIds.get(network) ?? null);
    }
  }
  const own = have.objects.networks.find(({ name }) => name === want.network.name);
  ids.set(want.network.name, ground.has(`create network ${want.network.name}`) ? null : (own?.id ?? null));
  return ids;
}

function containerActions(want: StackWant, have: StackHave, ground: ReadonlySet<string>): Action[] {
  const networkIds = networkIdsOf(want, have, ground);
  const edges = want.edges.map((edge) => `create edge ${edge}`).filter((id) => ground.has(id));
  const byName = new Map(have.objects.containers.map((state) => [state.name, state]));
  const starting: string[] = [];
  const actions = want.containers.flatMap(({ service, spec }) => {
    const state = byName.get(spec.name);
    const stale = state !== undefined && isStale(spec, state, networkIds);
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
    const made = spec.networks.map(({ network }) => `create network ${network}`).filter((id) => ground.has(id));
    const mended = create ? [] : repairs(spec, state, { made: new Set(made), ground: [...made, ...edges] });
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
  const needing = want.containers
    .map(({ service }) => service)
    .filter((service) => starting.includes(service) || have.wrongFiles?.has(service) === true);
  const delivery = needing.length > 0 ? [action({ kind: 'deliver files', services: needing }, 'secrets', before)] : [];
  return [...left, ...scratches(want, have), ...delivery, ...actions];
}

/** What backups were proven on and no backup uses any more, after a crash or because something took its place. */
function scratches(want: StackWant, { objects }: StackHave): Action[] {
  if (want.scratch) {
    return [];
  }
  const ofScratch = ({ labels }: { labels: VolumeState['labels'] }): boolean => labels[LABEL.role] === SCRATCH;
  const containers = objects.containers
    .filter(ofScratch)
    .map(({ name }) => action({ kind: 'remove container', name }, name));
  const volumes = objects.volumes.filter(ofScratch).map(({ name }) =>
    action(
      { kind: 'remove volume', name },
      name,
      containers.map(({ id }) => id),
    ),
  );
  return [...containers, ...volumes];
}

/** What carried files into volumes and was left by a crash. */
function couriers(have: StackHave): Action[] {
  return have.objects.containers
    .filter(({ labels, status }) => labels[LABEL.role] === 'courier' && status === 'created')
    .map(({ name }) => action({ kind: 'remove container', name }, name));
}

interface Ground {
  /** Actions that make networks of this container anew, which takes it off the old ones. */
  made: ReadonlySet<string>;
  /** What is to be done before anything is connected. */
  ground: readonly string[];
}

/** What can be mended without making the container anew. */
function repairs(spec: ContainerSpec, state: ContainerState, { made, ground }: Ground): Action[] {
  const actions: Action[] = [];
  const disconnect = (network: string): Action =>
    action({ kind: 'disconnect network', container: spec.name, network }, `${spec.name} ${network}`);
  for (const { network, address } of spec.networks) {
    const attached = made.has(`create network ${network}`) ? undefined : state.networks[network];
    const elsewhere = attached !== undefined && attached.address !== address;
    if (elsewhere) {
      actions.push(disconnect(network));
    }
    if (attached === undefined || elsewhere) {
      const needs = [...ground, ...(elsewhere ? [disconnect(network).id] : [])];
      actions.push(
        action({ kind: 'connect network', container: spec.name, spec, network }, `${spec.name} ${network}`, needs),
      );
    }
  }
  // On a network that is not its own it could reach others, and they it.
  const own = new Set(spec.networks.map(({ network }) => network));
  actions.push(
    ...Object.keys(state.networks)
      .filter((network) => !own.has(network))
      .map(disconnect),
  );
  actions.push(...limitChange(spec, state), ...restarts(spec, state));
  if (state.status === 'paused') {
    const before = actions.map(({ id }) => id);
    actions.push(action({ kind: 'unpause container', name: spec.name }, spec.name, before));
  }
  return actions;
}

function limitChange(spec: ContainerSpec, state: ContainerState | undefined): Action[] {
  return state === undefined || sameLimits(spec.limits, state.limits)
    ? []
    : [action({ kind: 'change limits', name: spec.name, limits: spec.limits }, spec.name)];
}

/** What brings the containers that are there to the limits that are wanted, running or not. */
export function limitChanges(want: StackWant, objects: EngineObjects): Action[] {
  const byName = new Map(objects.containers.map((state) => [state.name, state]));
  return want.containers.flatMap(({ spec }) => limitChange(spec, byName.get(spec.name)));
}

/** The error for a volume with the stack's data that is gone; null where all are there. */
export function lossOf(want: StackWant, volumes: readonly VolumeState[]): DomainError | null {
  const lost = want.keeps.find((name) => volumes.every((volume) => volume.name !== name));
  return lost === undefined
    ? null
    : new DomainError('DATA_MISSING', {
        message: `The volume ${lost} with the stack’s data is gone. Nothing was made in its place: restore a backup, bring the volume back on the host, or destroy the stack.`,
        details: { why: 'volume', volume: lost },
      });
}

/**
 * The error for a volume with the files of another major version of the database than the stack's server is of; null
 * where there is none. Neither opens the other's: started on them, it would end over and over.
 */
export function foreignMajor(want: StackWant, volumes: readonly VolumeState[]): DomainError | null {
  const there = new Map(volumes.map(({ name, labels }) => [name, labels]));
  for (const { name, labels } of want.volumes) {
    const [wanted, found] = [labels[LABEL.databaseMajor], there.get(name)];
    if (wanted === undefined || found === undefined) {
      continue;
    }
    const has = majorOfLabel(found[LABEL.databaseMajor]);
    if (has !== Number(wanted)) {
      return new DomainError('WRONG_STATE', {
        message: `The volume ${name} holds files of PostgreSQL ${has}, and the stack’s release has PostgreSQL ${wanted}, which cannot open them. Nothing was started. Bring the stack back to a release with PostgreSQL ${has}, or restore a backup.`,
        details: { why: FOREIGN_MAJOR, volume: name, has, wanted: Number(wanted) },
      });
    }
  }
  return null;
}

const FOREIGN_MAJOR = 'foreign_major';

/** Why nothing may be started on the stack's volumes as they are; null where it may. */
export function barred(want: StackWant, volumes: readonly VolumeState[]): DomainError | null {
  return lossOf(want, volumes) ?? foreignMajor(want, volumes);
}

/** Whether an error is that of `barred`: looking or asking again changes nothing of it. */
export function isBarred(error: unknown): error is DomainError {
  return (
    isDomainError(error, 'DATA_MISSING') ||
    (isDomainError(error, 'WRONG_STATE') && error.details['why'] === FOREIGN_MAJOR)
  );
}

/**
 * What to do so that `have` becomes `want`; empty when nothing is. Pure: the same reading gives the same plan, and
 * applying a plan and looking again gives an empty one. Throws DATA_MISSING where the plan would be to begin anew on an
 * empty volume in the place of one that held the stack's data, and WRONG_STATE (details.why `foreign_major`) where it
 * would be to start a database on another major version's files.
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
    const steps = [...halts(want, have), ...scratches(want, have)];
    return [...routeActions, ...steps.map((step) => ({ ...step, needs: [...step.needs, ...routed] }))];
  }
  const bar = barred(want, have.objects.volumes);
  if (bar) {
    throw bar;
  }
  const existing = have.objects.networks.find(({ name }) => name === want.network.name);
  const wrong = existing && (existing.internal !== want.network.internal || existing.subnet !== want.network.subnet);
  const remove = wrong ? [action({ kind: 'remove network', name: want.network.name }, want.network.name)] : [];
  const volumes = new Set(have.objects.volumes.map(({ name }) => name));
  const ground: Action[] = [
    ...want.edges
      .filter((edge) => !have.edges.has(edge))
      .map((edge) => action({ kind: 'create edge', edge }, String(edge))),
    ...remove,
    ...(existing && !wrong
      ? []
      : [
          action(
            { kind: 'create network', spec: want.network },
            want.network.name,
            remove.map(({ id }) => id),
          ),
        ]),
    ...want.volumes
      .filter(({ name }) => !volumes.has(name))
      .map((spec) => action({ kind: 'create volume', spec }, spec.name)),
  ];
  return [...routeActions, ...ground, ...containerActions(want, have, new Set(ground.map(({ id }) => id)))];
}
