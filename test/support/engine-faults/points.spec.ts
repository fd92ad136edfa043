import { FAULT_OPERATIONS } from '../faults/operations.js';
import { begun, ENGINE_FAULTS, goesThroughEngine, pointOf, pointsOf, toldPoint } from './points.js';

const every = FAULT_OPERATIONS.flatMap((operation) => ENGINE_FAULTS.flatMap((fault) => pointsOf(operation, fault)));

it('a seed names one point of each operation and fault, the same each time', () => {
  for (const operation of FAULT_OPERATIONS) {
    for (const fault of ENGINE_FAULTS) {
      const point = pointOf(operation, fault, { seed: 20_261_123, nth: 0 });
      expect(pointOf(operation, fault, { seed: 20_261_123, nth: 0 })).toEqual(point);
      expect(pointsOf(operation, fault)).toContainEqual(point);
    }
  }
});

it('the days of two months meet every point, and so do as many of one seed', () => {
  const told = (seeds: { seed: number; nth: number }[]): Set<string> =>
    new Set(
      FAULT_OPERATIONS.flatMap((operation) =>
        ENGINE_FAULTS.flatMap((fault) => seeds.map((one) => toldPoint(pointOf(operation, fault, one)))),
      ),
    );
  const days = (month: number): { seed: number; nth: number }[] =>
    Array.from({ length: 28 }, (_, day) => ({ seed: 20_260_000 + month * 100 + day + 1, nth: 0 }));
  expect(told([...days(11), ...days(12)])).toEqual(new Set(every.map(toldPoint)));
  expect(told(Array.from({ length: 56 }, (_, nth) => ({ seed: 7, nth })))).toEqual(new Set(every.map(toldPoint)));
});

it('no two calls of an operation are told alike, and one met as it begins is another than one met at its work', () => {
  expect(new Set(every.map(toldPoint)).size).toBe(every.length);
  const works = every.filter(({ call }) => call.kind === 'restic' && call.moment === 'works');
  expect(works.length).toBeGreaterThan(0);
  for (const point of works) {
    expect(toldPoint(begun(point))).toBe(toldPoint(point).replace(/works$/, 'begun'));
  }
});

it('what goes through the engine is every call of its own, and of restic what its data comes from or goes to', () => {
  const through = new Set(
    every.filter(goesThroughEngine).flatMap(({ call }) => (call.kind === 'restic' ? call.command : [])),
  );
  expect(through).toEqual(new Set(['backup', 'dump']));
  expect(every.filter(({ call }) => call.kind === 'engine').every(goesThroughEngine)).toBe(true);
});
