import { join } from 'node:path';
import { FORMER_STORES, STORES, takeOver } from './portal-user.js';

/** In a container of its own as root, with nothing but the volumes of the portal's stores, while neither runs. */
for (const [store, own] of Object.entries(STORES)) {
  // 0: the engine has just made it.
  await takeOver(join('/stores', store), { own, former: [0, FORMER_STORES] });
}
