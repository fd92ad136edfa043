import { Accounts1763700000001 } from './1763700000001-accounts.js';
import { Requests1763700000003 } from './1763700000003-requests.js';
import { SafeEnds1763700000004 } from './1763700000004-safe-ends.js';
import { Stacks1763700000002 } from './1763700000002-stacks.js';

/** In order. A landed migration is never edited; `npm run check:migrations` compares the result with the entities. */
export const MIGRATIONS = [Accounts1763700000001, Stacks1763700000002, Requests1763700000003, SafeEnds1763700000004];
