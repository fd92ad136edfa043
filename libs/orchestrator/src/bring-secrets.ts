import { LABEL } from '#libs/engine';
import { apply } from './converge.js';
import type { PhaseContext } from './phase-context.js';
import { wantStack } from './planner/want.js';

/** Of the databases, whose volumes may be gone with the data: a server begins with the password the stack will use. */
export async function bringSecrets(context: PhaseContext): Promise<void> {
  const { facts } = context;
  const want = wantStack(facts);
  const services = facts.template.aviary.backup.postgres;
  const volumes = want.volumes
    .filter(({ labels }) => services.includes(labels[LABEL.service] ?? ''))
    .map((spec) => ({
      id: `create volume ${spec.name}`,
      kind: 'create volume' as const,
      target: spec.name,
      needs: [],
      spec,
    }));
  const needs = volumes.map(({ id }) => id);
  await apply(context, want, [
    ...volumes,
    { id: 'deliver files secrets', kind: 'deliver files', target: 'secrets', needs, services },
  ]);
}
