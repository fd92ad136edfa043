import { createHash } from 'node:crypto';
import { decodeJwt } from 'jose';
import { DomainError, reportBatchSchema, uuidSchema, type Report } from '#libs/contracts';
import { publicKeyFromText, sameSecret, verifyToken } from '#libs/crypto';
import { HeartbeatEntity, RuntimeEventEntity, TenantEntity, tx } from '#libs/db';
import type { TenantDeps } from './settings.js';

const AUDIENCE = 'aviary-reports';

/** Takes what the runtimes report, each id once. */
export class ReportService {
  constructor(private readonly deps: Pick<TenantDeps, 'dataSource' | 'now'>) {}

  /**
   * `authorization` is `Stack <jws>` as contracts/reports.ts describes; `body` the raw bytes it covers. Throws
   * UNAUTHENTICATED for anything not signed by the stack it names, VALIDATION_FAILED for a body of another shape.
   */
  async accept(authorization: string, body: Buffer): Promise<{ stored: string[] }> {
    const tenantId = await this.authenticate(authorization, body);
    const parsed = reportBatchSchema.safeParse(parseJson(body));
    if (!parsed.success) {
      throw new DomainError('VALIDATION_FAILED', {
        details: { problems: parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`) },
      });
    }
    const { reports } = parsed.data;
    await tx(this.deps.dataSource, async (db) => {
      const newest = reports
        .filter((report) => report.kind === 'heartbeat')
        .toSorted((a, b) => a.at.localeCompare(b.at))
        .at(-1);
      if (newest) {
        const { at, bots, runningBots, openOrders, equity } = newest;
        await db
          .createQueryBuilder()
          .insert()
          .into(HeartbeatEntity)
          .values({ tenantId, at: new Date(at), bots, runningBots, openOrders, equity })
          .orUpdate(['at', 'bots', 'running_bots', 'open_orders', 'equity'], ['tenant_id'], {
            overwriteCondition: { where: 'heartbeats.at < excluded.at' },
          })
          .execute();
      }
      const events = reports.filter((report): report is Extract<Report, { kind: 'event' }> => report.kind === 'event');
      if (events.length > 0) {
        await db
          .createQueryBuilder()
          .insert()
          .into(RuntimeEventEntity)
          .values(events.map(({ id, at, event, bot, text }) => ({ id, tenantId, at: new Date(at), event, bot, text })))
          .orIgnore()
          .execute();
      }
    });
    return { stored: reports.map((report) => report.id) };
  }

  private async authenticate(authorization: string, body: Buffer): Promise<string> {
    const [scheme, token = ''] = authorization.split(' ');
    const refuse = new DomainError('UNAUTHENTICATED', {
      message: 'The report is not signed by a stack of this platform.',
    });
    if (scheme !== 'Stack') {
      throw refuse;
    }
    const issuer = uuidSchema.safeParse(claimedIssuer(token));
    const tenant = issuer.success
      ? await this.deps.dataSource.manager.findOneBy(TenantEntity, { id: issuer.data })
      : null;
    if (!tenant?.publicKey) {
      throw refuse;
    }
    const claims = await verifyToken(publicKeyFromText(tenant.publicKey), token, {
      issuer: tenant.id,
      audience: AUDIENCE,
      now: this.deps.now(),
      // Clocks of hosts differ a little; a report is harmless to repeat.
      leewaySeconds: 30,
    });
    const digest = createHash('sha256').update(body).digest('base64url');
    if (!claims || typeof claims['bodySha256'] !== 'string' || !sameSecret(claims['bodySha256'], digest)) {
      throw refuse;
    }
    return tenant.id;
  }
}

function claimedIssuer(token: string): unknown {
  try {
    return decodeJwt(token).iss;
  } catch {
    // Not a token at all: the caller answers as for any other that does not verify.
    return undefined;
  }
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch (cause) {
    throw new DomainError('MALFORMED_JSON', { cause });
  }
}
