import { lookup } from 'node:dns/promises';
import { Passwords } from './passwords.js';

it('a crowd that signs in leaves room for who looks a name up: the portal’s database stays in reach', async () => {
  const passwords = new Passwords(10);
  let hashed = 0;
  const crowd = Array.from({ length: 24 }, async () => {
    await passwords.hash('correct horse battery');
    hashed += 1;
  });
  // With the first of them done, all the others wait for libuv's four threads: for all of them, were they let.
  await Promise.race(crowd);
  const before = hashed;
  await lookup('localhost');
  expect(hashed - before).toBeLessThan(8);
  await Promise.all(crowd);
  expect(hashed).toBe(24);
});
