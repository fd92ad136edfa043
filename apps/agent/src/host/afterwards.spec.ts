import { afterwards } from './afterwards.js';

it('gives what of it failed, does the rest, and throws nothing', async () => {
  const done: string[] = [];
  const warnings = await afterwards({
    'superseded images were not removed': () => Promise.reject(new Error('docker image did not end within 600 s')),
    'which releases wait could not be read': () => Promise.resolve(void done.push('looked')),
  });
  expect(warnings).toEqual(['superseded images were not removed: docker image did not end within 600 s']);
  expect(done).toEqual(['looked']);
});
