import { v7 } from 'uuid';

/** A UUIDv7 (RFC 9562 §5.7): ordered by time, so new rows land at the end of an index. PostgreSQL 17 cannot make one. */
export function newId(): string {
  return v7();
}
