import { DomainError } from '#libs/contracts';
import { asideOf, goesOn } from '../aside.js';
import { assertOwned } from '../ownership.js';
import { LABEL, type Owner } from '../port.js';
import { newContainer, type FakeContainer } from './fake-container.js';
import type { World } from './world.js';

/** `remakeContainer` in memory, all at once. Gives what was removed. */
export function remake(world: World, name: string, owner: Owner): FakeContainer[] {
  const [left, existing] = [world.containers.get(asideOf(name)), world.containers.get(name)];
  for (const { spec, labels } of [left, existing].filter((one) => one !== undefined)) {
    assertOwned('container', spec.name, labels, owner);
  }
  if (left) {
    world.containers.delete(asideOf(name));
    if (goesOn(standing(left), existing && standing(existing)) === 'new') {
      return [left];
    }
    left.spec = { ...left.spec, name };
    world.containers.set(name, left);
    return [...(existing ? [existing] : []), ...(left.status === 'running' ? [] : [replace(world, left)])];
  }
  if (!existing) {
    throw new DomainError('NOT_FOUND', { message: `There is no container ${name}.` });
  }
  if (existing.status === 'running') {
    throw new DomainError('WRONG_STATE', {
      message: `${name} runs.`,
      details: { why: 'running', container: name },
    });
  }
  return [replace(world, existing)];
}

function replace(world: World, old: FakeContainer): FakeContainer {
  const { spec, imageId, labels, limits, restart, attachments } = old;
  const made = newContainer(world.newId(), imageId, spec);
  world.containers.set(
    spec.name,
    Object.assign(made, {
      labels: { ...labels, [LABEL.remade]: 'true' },
      limits,
      restart,
      attachments: attachments.map((one) => ({ ...one, networkId: '' })),
    }),
  );
  return old;
}

const standing = ({ status, startedAt }: FakeContainer): { running: boolean; everStarted: boolean } => ({
  running: status === 'running',
  everStarted: startedAt !== null,
});
