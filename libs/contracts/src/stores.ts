/** Which of a stack's stores does not answer as it should, and what that means for its bots. */
export const STORE_TEXT = {
  POSTGRES_AWAY: 'PostgreSQL of this stack does not answer as it should. Its bots wait for it.',
  REDIS_AWAY: 'Redis of this stack does not answer as it should. Its bots trade on without it.',
  STORES_AWAY: 'Neither PostgreSQL nor Redis of this stack answers as it should. Its bots wait for PostgreSQL.',
} as const;
export type StoreCode = keyof typeof STORE_TEXT;
export const STORE_CODES = Object.keys(STORE_TEXT) as StoreCode[];
