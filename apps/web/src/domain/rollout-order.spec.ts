import { planRolloutSchema } from '#libs/contracts';
import { orderOf, rolloutCli, USUAL_ROLLOUT, type RolloutDraft, type RolloutField } from './rollout-order.js';

const release = { id: 'standard@1.1.0+00000001', state: 'stable' } as const;
const read = (change: Partial<RolloutDraft>) => orderOf(release, { ...USUAL_ROLLOUT, ...change });

it('an untouched draft is the order that the server makes of a release alone', () => {
  expect(read({})).toEqual({ order: planRolloutSchema.parse({ release: release.id }), problems: null });
});

it('what is typed is read as people type it', () => {
  const { order } = read({
    canary: '2,5',
    waves: '10 % 50%, 100',
    soak: '1.5',
    windowFrom: '23:00',
    windowTo: '01:30',
    from: 'standard@1.0.0+00000000',
    stacks: 'u4k7mzq\nu5aaaaa; ',
  });
  expect(order).toMatchObject({
    settings: { canaryPercent: 2.5, waves: [10, 50, 100], soakSeconds: 90, window: { from: '23:00', to: '01:30' } },
    selection: { from: 'standard@1.0.0+00000000', stacks: ['u4k7mzq', 'u5aaaaa'] },
  });
});

it('only of a candidate the canary alone is meant', () => {
  expect(read({}).order?.settings.candidate).toBe(false);
  expect(orderOf({ ...release, state: 'candidate' }, USUAL_ROLLOUT).order?.settings.candidate).toBe(true);
});

it.each<[Partial<RolloutDraft>, RolloutField[]]>([
  [{ canary: '0' }, ['canary']],
  [{ canary: 'five', soak: '' }, ['canary', 'soak']],
  [{ waves: '50, 25, 100' }, ['waves']],
  [{ waves: '50' }, ['waves']],
  [{ waves: '' }, ['waves']],
  [{ concurrency: '9' }, ['concurrency']],
  [{ concurrency: '1.5' }, ['concurrency']],
  [{ budget: '101', inARow: '0' }, ['budget', 'inARow']],
  [{ windowFrom: '25:00', windowTo: '01:00' }, ['windowFrom']],
  [{ windowFrom: '01:00' }, ['windowTo']],
  [{ windowFrom: '01:00', windowTo: '01:00' }, ['windowTo']],
  [{ stacks: 'Not a name!' }, ['stacks']],
])('%j is refused for what is wrong in it', (change, fields) => {
  const { order, problems } = read(change);
  expect([order, [...(problems ?? [])].toSorted()]).toEqual([null, fields.toSorted()]);
});

it('the command line is told the same, without what is as usual', () => {
  const said = (change: Partial<RolloutDraft>): string | undefined => {
    const { order } = read(change);
    return order === null ? undefined : rolloutCli(order);
  };
  expect(said({})).toBe('aviary rollout start standard@1.1.0+00000001');
  expect(said({ waves: '10, 100', soak: '1', windowFrom: '01:00', windowTo: '05:00', stacks: 'u4k7mzq u5aaaaa' })).toBe(
    'aviary rollout start standard@1.1.0+00000001 --waves 10,100 --soak 60 --window 01:00-05:00 --stacks u4k7mzq,u5aaaaa',
  );
  const candidate = orderOf({ ...release, state: 'candidate' }, USUAL_ROLLOUT).order;
  expect(candidate && rolloutCli(candidate)).toMatch(/--candidate$/);
});
