import { requireKnownSchema } from './recover.js';

it('refuses what a newer version dumped, by name, and takes what an older one did', () => {
  const older = ['Accounts1763700000001', 'PortalBackups1763700000025'];
  expect(() => requireKnownSchema(older)).not.toThrow();
  expect(() => requireKnownSchema([...older, 'Later1999999999999'])).toThrow(
    'newer version of the platform than these sources, which do not know its Later1999999999999',
  );
});
