import { v7 as newId } from 'uuid';
import {
  API_TOKEN_PATTERN,
  DomainError,
  MAX_API_TOKENS,
  type Activity,
  type CreateToken,
  type TokenCreated,
  type TokenView,
} from '#libs/contracts';
import { hashToken, randomToken } from '#libs/crypto';
import type { Database } from '../database/database.js';

const PREFIX = 'avt_';

interface TokenRow {
  id: string;
  name: string;
  scope: 'read' | 'trade';
  hint: string;
  createdAt: Date;
  expiresAt: Date;
  lastUsedAt: Date | null;
  revokedAt: Date | null;
}
const COLUMNS = `id, name, scope, hint, created_at as "createdAt", expires_at as "expiresAt",
  last_used_at as "lastUsedAt", revoked_at as "revokedAt"`;

function view(row: TokenRow): TokenView {
  return {
    ...row,
    createdAt: row.createdAt.toISOString(),
    expiresAt: row.expiresAt.toISOString(),
    lastUsedAt: row.lastUsedAt?.toISOString() ?? null,
    revokedAt: row.revokedAt?.toISOString() ?? null,
  };
}

/** Tokens for programs. Only their hashes are stored: they are random, so a fast hash is enough. */
export class TokenService {
  constructor(
    private readonly database: Database,
    private readonly now: () => Date,
  ) {}

  async list(): Promise<TokenView[]> {
    return (await this.database.sql<TokenRow>(`select ${COLUMNS} from api_tokens order by created_at desc`)).map(view);
  }

  async create(input: CreateToken): Promise<TokenCreated> {
    const token = PREFIX + randomToken();
    const now = this.now();
    const rows = await this.database.sql<TokenRow>(
      `insert into api_tokens (id, name, scope, hash, hint, created_at, expires_at)
       select $1, $2, $3, $4, $5, $6, $7
       where (select count(*) from api_tokens where revoked_at is null and expires_at > $6) < ${MAX_API_TOKENS}
       returning ${COLUMNS}`,
      [
        newId(),
        input.name,
        input.scope,
        hashToken(token),
        token.slice(0, PREFIX.length + 4),
        now,
        new Date(now.getTime() + input.expiresInDays * 86_400_000),
      ],
    );
    const [row] = rows;
    if (!row) {
      throw new DomainError('QUOTA_EXCEEDED', {
        message: `A stack has at most ${MAX_API_TOKENS} valid tokens. Revoke one you no longer use.`,
        details: { reason: 'tokens', limit: 'tokens', allowed: MAX_API_TOKENS },
      });
    }
    return { token, view: view(row) };
  }

  async revoke(id: string): Promise<void> {
    const rows = await this.database.sql(
      'update api_tokens set revoked_at = coalesce(revoked_at, $2) where id = $1 returning 1',
      [id, this.now()],
    );
    if (rows.length === 0) {
      throw new DomainError('NOT_FOUND', { message: 'There is no such token.', details: { reason: 'no_such_token' } });
    }
  }

  /** What the portal may know of the valid ones, for the time in which nobody here can check any. */
  async digests(): Promise<Activity['tokens']> {
    const rows = await this.database.sql<{ digest: string; expiresAt: Date }>(
      `select hash as digest, expires_at as "expiresAt" from api_tokens
        where revoked_at is null and expires_at > $1 order by expires_at desc limit ${MAX_API_TOKENS}`,
      [this.now()],
    );
    return rows.map(({ digest, expiresAt }) => ({ digest, expiresAt: expiresAt.toISOString() }));
  }

  /** The valid token, or null. Its last use is noted by the minute, so that reading does not write each time. */
  async find(token: string): Promise<Pick<TokenRow, 'id' | 'name' | 'scope' | 'expiresAt'> | null> {
    if (!API_TOKEN_PATTERN.test(token)) {
      return null;
    }
    const now = this.now();
    const [row] = await this.database.sql<TokenRow>(
      `select ${COLUMNS} from api_tokens where hash = $1 and revoked_at is null and expires_at > $2`,
      [hashToken(token), now],
    );
    if (!row) {
      return null;
    }
    if (row.lastUsedAt === null || now.getTime() - row.lastUsedAt.getTime() > 60_000) {
      await this.database.sql('update api_tokens set last_used_at = $2 where id = $1', [row.id, now]);
    }
    return { id: row.id, name: row.name, scope: row.scope, expiresAt: row.expiresAt };
  }
}
