import { apiProblem } from './engine-facts.js';

it.each([
  ['1.41', '1.12', null],
  ['1.50', '1.24', null],
  ['1.40', '1.12', /20\.10/],
  ['1.55', '1.48', /no longer speaks/],
])('API %s (from %s): %s', (apiVersion, minApiVersion, expected) => {
  const problem = apiProblem({ version: 'x', apiVersion, minApiVersion });
  if (expected === null) {
    expect(problem).toBeNull();
  } else {
    expect(problem).toMatch(expected);
  }
});
