import { platformPrefix, uuidSchema } from '#libs/contracts';
import { SCRATCH } from '#libs/tenants';
import { LABEL, type EngineObjects, type Labels, type NetworkState, type ObjectEvent } from '#libs/engine';

const BESIDE = new Set([SCRATCH, 'courier']);

/**
 * Which stack labels of ours name. Without a tenant it is the portal's or an edge: the platform's own and in use. What is
 * no id is nobody's of ours, and the database would refuse the question.
 */
export function tenantIn(labels: Labels): string | undefined {
  return uuidSchema.safeParse(labels[LABEL.tenant]).data;
}

/** Whose an object of the engine is: by its labels, or by what was seen before where an event tells none. */
export class StackNames {
  private readonly tenantOfContainer = new Map<string, string>();
  private readonly tenantOfSlug = new Map<string, string>();
  private readonly prefix: string;

  constructor(platformId: string) {
    this.prefix = `aviary-${platformPrefix(platformId)}-`;
  }

  learn(tenantId: string, slug: string): void {
    this.tenantOfSlug.set(slug, tenantId);
  }

  remember(tenantId: string, { containers }: EngineObjects): void {
    containers.forEach(({ id }) => this.tenantOfContainer.set(id, tenantId));
  }

  forget(): void {
    this.tenantOfContainer.clear();
    this.tenantOfSlug.clear();
  }

  tenantOf({ name, containerId, labels }: ObjectEvent): string | undefined {
    if (labels !== null) {
      // What stands beside a stack for a moment is ended by whoever made it, and is no service of anybody's.
      return BESIDE.has(labels[LABEL.role] ?? '') ? undefined : tenantIn(labels);
    }
    const slug = name.startsWith(this.prefix) ? name.slice(this.prefix.length).split('-')[0] : undefined;
    const byName = slug === undefined ? undefined : this.tenantOfSlug.get(slug);
    return byName ?? (containerId === null ? undefined : this.tenantOfContainer.get(containerId));
  }

  /** Number of the edge network of that name; null for any other. */
  edgeIndex(name: string): number | null {
    const index = name.startsWith(`${this.prefix}edge-`) ? name.slice(`${this.prefix}edge-`.length) : '';
    return /^\d+$/.test(index) ? Number(index) : null;
  }

  edgeOf({ name, id, labels }: NetworkState): { edge: number; name: string; id: string }[] {
    const edge = labels[LABEL.role] === 'edge' ? this.edgeIndex(name) : null;
    return edge === null ? [] : [{ edge, name, id }];
  }
}

/** What was seen on the engine by the stack its labels name; what names none is left out. */
export function groupByTenant(objects: EngineObjects): Map<string, EngineObjects> {
  const groups = new Map<string, EngineObjects>();
  const of = (labels: Readonly<Record<string, string>>): EngineObjects | undefined => {
    const tenant = labels[LABEL.tenant];
    if (tenant === undefined) {
      return undefined;
    }
    const group = groups.get(tenant) ?? { containers: [], networks: [], volumes: [] };
    groups.set(tenant, group);
    return group;
  };
  objects.containers.forEach((one) => of(one.labels)?.containers.push(one));
  objects.networks.forEach((one) => of(one.labels)?.networks.push(one));
  objects.volumes.forEach((one) => of(one.labels)?.volumes.push(one));
  return groups;
}
