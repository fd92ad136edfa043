import { randomUUID } from 'node:crypto';
import { waitFor } from '#libs/async';
import type { Orphan, OrphanList } from '#libs/contracts';
import { LABEL } from '#libs/engine';
import { docker } from '../../support/engine.js';
import { engineObjects } from '../../support/platform.js';
import { anotherPlatforms, PlantedObjects } from './foreign.js';
import { SOON, type PlatformWorld } from './world.js';

/** A week and an hour: longer than what has no stack stays. */
const LONG_AGO = `interval '169 hours'`;

/** What is left of stacks that are gone, on the real engine, among what looks much like it. */
export function orphans(world: () => PlatformWorld): void {
  afterEach(() => world().clear(), 120_000);

  const listed = async (): Promise<Orphan[]> => {
    const { code, document } = await world().platform.cli<OrphanList>('orphans', 'list');
    expect({ code, error: document.error }).toEqual({ code: 0, error: null });
    return document.data.items;
  };

  it('FM-14 FM-15 what belongs to no stack is removed after its grace, and none of its neighbours', async () => {
    const { platform } = world();
    const stack = await world().runningStack();
    const { owner, slug, id } = stack;
    expect(await owner.order(slug, 'stop')).toMatchObject({ state: 'done', error: null });
    const ofStack = async (): Promise<string[]> =>
      Object.values(await engineObjects())
        .flat()
        .filter((name: string) => name.includes(slug));
    const whole = await ofStack();
    expect(whole).toHaveLength(9);

    const gone = randomUUID();
    const ours = { [LABEL.platform]: platform.facts.platformId };
    const named = (what: string, at: number): PlantedObjects =>
      new PlantedObjects(
        `aviary-${platform.facts.prefix}-u234567-${what}`,
        { container: '-runtime', network: '', volume: '-data-1' },
        `198.18.77.${at * 16}/28`,
      );
    const left = named('left', 0);
    const neighbours: [PlantedObjects, Record<string, string>][] = [
      [named('foreign', 1), anotherPlatforms(gone)],
      [named('no-platform', 2), { 'aviary.platform.id': platform.facts.platformId, [LABEL.tenant]: gone }],
      [named('no-tenant', 3), { ...ours, 'aviary.tenant.id': gone }],
      [named('no-id', 4), { ...ours, [LABEL.tenant]: 'u234567' }],
      [named('no-label', 5), {}],
    ];
    // Listed, too, and never removed; each look at the whole engine says that it saw it.
    const unwanted = `aviary-${platform.facts.prefix}-${slug}-data-9`;
    const lookedAgain = async (): Promise<void> => {
      const seen = (): Promise<string> =>
        platform.sql(`select coalesce(max(last_seen_at)::text, '') from orphans where name = '${unwanted}'`);
      const before = await seen();
      await docker('restart', platform.container('agent'));
      await waitFor(async () => ((await seen()) === before ? undefined : true), {
        what: 'a look at the whole engine',
        ...SOON,
      });
    };
    const why = async (): Promise<string[]> => {
      const planted = new Set([left, ...neighbours.map(([objects]) => objects)].flatMap(({ all }) => all));
      return (await listed())
        .filter(({ name }) => planted.has(name) || name.includes(slug))
        .map(({ kind, name, why: reason, removeAt }) => `${kind} ${name} ${reason} ${removeAt === null ? 'kept' : ''}`)
        .toSorted((a, b) => a.localeCompare(b));
    };
    const kept = `volume ${unwanted} not_wanted kept`;
    try {
      await docker(
        'volume',
        'create',
        ...Object.entries({ ...ours, [LABEL.tenant]: id }).flatMap(([name, value]) => ['--label', `${name}=${value}`]),
        unwanted,
      );
      await left.plant({ ...ours, [LABEL.tenant]: gone });
      for (const [objects, labels] of neighbours) {
        await objects.plant(labels);
      }

      await lookedAgain();
      const [container, network, volume] = left.all;
      const found = [
        `container ${container} no_stack `,
        `network ${network} no_stack `,
        `volume ${volume} no_stack `,
        kept,
      ].toSorted((a, b) => a.localeCompare(b));
      expect(await why()).toEqual(found);
      // Looked at again within its grace, all of it stays.
      await lookedAgain();
      expect(await why()).toEqual(found);
      await left.expectUntouched();

      // As if it had been seen first so long ago; nothing else of the wait is cut short.
      await platform.sql(`update orphans set first_seen_at = first_seen_at - ${LONG_AGO}`);
      await lookedAgain();
      await waitFor(async () => ((await why()).length === 1 ? true : undefined), {
        what: 'the end of what was left',
        ...SOON,
      });
      // A look later nothing that was due is still being removed.
      await lookedAgain();
      expect(await why()).toEqual([kept]);
      const now = Object.values(await engineObjects()).flat() as string[];
      expect(left.all.filter((name) => now.includes(name))).toEqual([]);
      for (const [objects] of neighbours) {
        await objects.expectUntouched();
      }
      expect((await ofStack()).toSorted()).toEqual([...whole, unwanted].toSorted());
      expect(await owner.order(slug, 'start')).toMatchObject({ state: 'done', error: null });
      await world().served(stack);
    } finally {
      await docker('volume', 'rm', '--force', unwanted);
      for (const objects of [left, ...neighbours.map(([planted]) => planted)]) {
        await objects.remove();
      }
    }
  }, 300_000);
}
