import { z } from 'zod';
import { fieldProblems } from './validation.pipe.js';

const schema = z.strictObject({ name: z.string().min(3, 'Too short.'), limits: z.strictObject({ cpus: z.int() }) });

it('names each field and each unknown one, with its reasons', () => {
  const { error } = schema.safeParse({ name: 'a', limits: { cpus: 1.5, gpu: 1 }, admin: true, __proto: 1 });
  const fields = fieldProblems(error?.issues ?? []);
  expect(Object.keys(fields).toSorted()).toEqual(['__proto', 'admin', 'limits.cpus', 'limits.gpu', 'name']);
  expect(fields['name']).toEqual(['Too short.']);
  expect(fields['admin']).toEqual(['This field is not known here.']);
});

it('is not confused by a field called __proto__', () => {
  const { error } = schema.safeParse(JSON.parse('{"name":"abc","limits":{"cpus":1},"__proto__":{"x":1}}'));
  expect(fieldProblems(error?.issues ?? [])).toEqual(error ? { ['__proto__']: ['This field is not known here.'] } : {});
  expect(({} as Record<string, unknown>)['x']).toBeUndefined();
});
