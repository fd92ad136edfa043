import { ReleaseEntity } from '#libs/db';
import type { StackWorld } from './stack-world.js';

/** The release of the world's stacks, and a candidate of the same template that has another image of its runtime. */
export async function nextRelease(world: StackWorld): Promise<[ReleaseEntity, ReleaseEntity]> {
  const { manager } = world.database.dataSource;
  const [first] = (await manager.find(ReleaseEntity)) as [ReleaseEntity];
  const second = Object.assign(new ReleaseEntity(), first, {
    id: 'standard@0.2.0+00000002',
    version: '0.2.0',
    images: { ...first.images, runtime: world.engine.addImage('example.org/runtime:next') },
    createdAt: new Date(first.createdAt.getTime() + 1_000),
    state: 'candidate' as const,
    notes: 'Faster.',
  });
  await manager.insert(ReleaseEntity, second as object);
  return [first, second];
}
