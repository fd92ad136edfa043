import { randomUUID } from 'node:crypto';
import { LABEL } from '#libs/engine';
import { docker, testImage } from '../../support/engine.js';
import { engineObjects } from '../../support/platform.js';
import type { PlatformWorld } from './world.js';

/** Labels of another platform's objects of a tenant that has our tenant's id. */
export const anotherPlatforms = (tenant: string): Record<string, string> => ({
  [LABEL.platform]: randomUUID(),
  [LABEL.tenant]: tenant,
});

/** One container that runs, one network and one volume with something in it, that the platform has not made. */
export class PlantedObjects {
  private readonly names: { container: string; network: string; volume: string };
  private found = '';

  constructor(
    base: string,
    suffix: { container: string; network: string; volume: string },
    private readonly subnet = '198.18.77.0/28',
  ) {
    this.names = {
      container: base + suffix.container,
      network: base + suffix.network,
      volume: base + suffix.volume,
    };
  }

  async plant(wanted: Readonly<Record<string, string>>): Promise<void> {
    const labels = Object.entries(wanted).flatMap(([name, value]) => ['--label', `${name}=${value}`]);
    const { container, network, volume } = this.names;
    await docker('volume', 'create', ...labels, volume);
    await docker('network', 'create', ...labels, '--subnet', this.subnet, network);
    const options = ['--name', container, ...labels, '--network', network, '--volume', `${volume}:/theirs`];
    await docker('run', '--detach', ...options, testImage('base'), 'sleep', '3600');
    // Written by now: the engine tells a volume's last change as the time it was made.
    await docker('exec', container, 'sh', '-c', 'echo precious > /theirs/data');
    this.found = await this.state();
  }

  /** Identities, and what tells that one was stopped, started or emptied meanwhile. */
  private async state(): Promise<string> {
    const { container, network, volume } = this.names;
    const parts = await Promise.all([
      docker('inspect', '--format', '{{.Id}} {{.State.Status}} {{.State.StartedAt}} {{.RestartCount}}', container),
      docker('network', 'inspect', '--format', '{{.Id}} {{len .Containers}}', network),
      docker('volume', 'inspect', '--format', '{{.CreatedAt}} {{.Mountpoint}}', volume),
      docker('exec', container, 'cat', '/theirs/data'),
    ]);
    return parts.join('\n');
  }

  async expectUntouched(): Promise<void> {
    expect(this.found).toContain('precious');
    expect(await this.state()).toBe(this.found);
  }

  get all(): string[] {
    return Object.values(this.names);
  }

  /** What of it there is. */
  async remove(): Promise<void> {
    const { container, network, volume } = this.names;
    const { containers, networks, volumes } = await engineObjects();
    if (containers.includes(container)) {
      await docker('rm', '--force', container);
    }
    if (networks.includes(network)) {
      await docker('network', 'rm', network);
    }
    if (volumes.includes(volume)) {
      await docker('volume', 'rm', volume);
    }
  }
}

/** What is on the engine and is another's: never touched, whatever it is called. */
export function foreign(world: () => PlatformWorld): void {
  afterEach(() => world().clear(), 120_000);

  it('FM-15 objects of another platform in the way of a new stack stay as they are, and the reason is told', async () => {
    const { platform } = world();
    const owner = await world().signedUp();
    const { stack, operation, theirs } = await world().withoutAgent(async () => {
      const made = await owner.createStack();
      const base = `aviary-${platform.facts.prefix}-${made.stack.slug}`;
      const planted = new PlantedObjects(base, { container: '-redis', network: '', volume: '-data-1' });
      await planted.plant(anotherPlatforms(made.stack.id));
      return { ...made, theirs: planted };
    });
    try {
      const over = await owner.operationOver(operation.id);
      expect(over).toMatchObject({ state: 'failed', error: { code: 'ENGINE_CONFLICT' } });
      expect(theirs.all.some((name) => over.error?.message.includes(`named ${name} `))).toBe(true);
      await theirs.expectUntouched();
      await owner.destroy(stack.slug);
      await theirs.expectUntouched();
      const left = Object.values(await engineObjects())
        .flat()
        .filter((name) => name.includes(stack.slug));
      expect(new Set(left)).toEqual(new Set(theirs.all));
    } finally {
      await theirs.remove();
    }
  }, 120_000);

  it('FM-15 objects of another platform beside a stack stay as they are while it stops, starts, is looked after and destroyed', async () => {
    const { platform } = world();
    const { owner, slug, id } = await world().runningStack();
    const theirs = new PlantedObjects(`aviary-${platform.facts.prefix}-${slug}`, {
      container: '-other',
      network: '-other',
      volume: '-data-2',
    });
    await theirs.plant(anotherPlatforms(id));
    try {
      await docker('restart', platform.container('agent'));
      for (const kind of ['stop', 'start', 'restart'] as const) {
        expect(await owner.order(slug, kind)).toMatchObject({ state: 'done' });
      }
      await owner.destroy(slug);
      await theirs.expectUntouched();
      const left = await platform.traces({ slug, id });
      // Found twice: by their names and by the tenant's id on their labels.
      expect(new Set(left)).toEqual(new Set(theirs.all));
    } finally {
      await theirs.remove();
    }
  }, 180_000);
}
