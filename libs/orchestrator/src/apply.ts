import { LABEL, startsNever, type ContainerSpec, type Engine } from '#libs/engine';
import { edgeNames, edgeSubnet, stackNames } from '#libs/tenants';
import type { Action, ActionKind } from './planner/plan.js';
import type { StackFacts, StackWant } from './planner/want.js';
import type { Routes, SecretFiles } from './ports.js';

export interface ApplyContext {
  engine: Engine;
  routes: Routes;
  secrets: SecretFiles;
  facts: StackFacts;
  want: StackWant;
  signal: AbortSignal;
}

type Executors = { [K in ActionKind]: (action: Extract<Action, { kind: K }>, context: ApplyContext) => Promise<void> };

/** Bounds of single engine calls: far above what was measured (start 0.3 s), below what a person would wait for. */
const CALL_MS = 30_000;
const START_MS = 60_000;
/** Beyond the grace itself: the kill and the clean-up of the engine. */
const STOP_MARGIN_MS = 20_000;

const edgeSpec = ({ facts }: ApplyContext, edge: number): Parameters<Engine['createNetwork']>[0] => {
  const { network, bridge } = edgeNames(facts.platformId, edge);
  const { cidr, gateway, ipRange } = edgeSubnet(facts.pool, edge);
  return {
    name: network,
    labels: { [LABEL.platform]: facts.platformId, [LABEL.role]: 'edge' },
    subnet: cidr,
    gateway,
    ipRange,
    internal: false,
    icc: false,
    bridgeName: bridge,
    ...(facts.mtu === undefined ? {} : { mtu: facts.mtu }),
  };
};

function attachment(spec: ContainerSpec, network: string): ContainerSpec['networks'][number] {
  const found = spec.networks.find((item) => item.network === network);
  if (!found) {
    throw new Error(`${spec.name} has no attachment to ${network}`);
  }
  return found;
}

/** Without the container the next look makes it anew, on the same volumes; what was refused is told all the same. */
async function startOrRemove(name: string, context: ApplyContext): Promise<void> {
  try {
    await context.engine.startContainer(name, bounds(context, START_MS));
  } catch (error) {
    if (startsNever(error)) {
      await context.engine.removeContainer(name, context.want.owner, bounds(context, CALL_MS));
    }
    throw error;
  }
}

/** One function per kind of action; the compiler knows when one is missing. Each may run twice. */
const EXECUTORS: Executors = {
  'create edge': (action, context) =>
    context.engine.createNetwork(edgeSpec(context, action.edge), bounds(context, CALL_MS)),
  'write route': ({ text }, { routes, facts }) => routes.write(facts.slug, text),
  'remove route': (_action, { routes, facts }) => routes.remove(facts.slug),
  'create network': ({ spec }, context) => context.engine.createNetwork(spec, bounds(context, CALL_MS)),
  'remove network': ({ name }, context) =>
    context.engine.removeNetwork(name, context.want.owner, bounds(context, CALL_MS)),
  'create volume': ({ spec }, context) => context.engine.createVolume(spec, bounds(context, CALL_MS)),
  'remove volume': ({ name }, context) =>
    context.engine.removeVolume(name, context.want.owner, bounds(context, CALL_MS)),
  'create container': ({ spec }, context) => context.engine.createContainer(spec, bounds(context, CALL_MS)),
  'deliver files': async ({ services }, context) => {
    const { facts, want, engine, secrets } = context;
    const names = stackNames(facts.platformId, facts.slug);
    const volumes = await secrets.volumesFor(facts, services);
    // One without data: the engine makes a nameless volume for each VOLUME line of an image, which a kill leaves behind.
    const dataless = want.containers.find(({ service }) => facts.template.services[service]?.volumes.length === 0);
    const image = (dataless ?? want.containers[0])?.spec.image;
    if (image !== undefined && volumes.length > 0) {
      await engine.fillVolumes(
        {
          name: names.container('courier'),
          labels: { [LABEL.platform]: facts.platformId, [LABEL.tenant]: facts.tenantId, [LABEL.role]: 'courier' },
          image,
          volumes,
        },
        bounds(context, CALL_MS),
      );
    }
  },
  'start container': ({ name }, context) => startOrRemove(name, context),
  'unpause container': ({ name }, context) => context.engine.unpauseContainer(name, bounds(context, START_MS)),
  'stop container': ({ name, graceSeconds }, context) =>
    context.engine.stopContainer(name, graceSeconds, bounds(context, graceSeconds * 1_000 + STOP_MARGIN_MS)),
  'remove container': ({ name }, context) =>
    context.engine.removeContainer(name, context.want.owner, bounds(context, CALL_MS)),
  'change limits': ({ name, limits }, context) => context.engine.updateLimits(name, limits, bounds(context, CALL_MS)),
  'set restart': ({ name, restart }, context) => context.engine.setRestart(name, restart, bounds(context, CALL_MS)),
  'disconnect network': ({ container, network }, context) =>
    context.engine.disconnectNetwork(container, network, bounds(context, CALL_MS)),
  'connect network': ({ container, spec, network }, context) =>
    context.engine.connectNetwork(container, attachment(spec, network), bounds(context, CALL_MS)),
};

function bounds({ signal }: ApplyContext, deadlineMs: number): { deadlineMs: number; signal: AbortSignal } {
  return { deadlineMs, signal };
}

export function execute<K extends ActionKind>(
  action: Extract<Action, { kind: K }>,
  context: ApplyContext,
): Promise<void> {
  const executor = EXECUTORS[action.kind as K];
  return executor(action, context);
}
