import { randomUUID } from 'node:crypto';
import type { Resumption } from '#libs/contracts';
import type { Logger } from '#libs/telemetry';
import { ledgerFaults } from '../account/ledger.js';
import type { BotService } from '../bots/bot-service.js';
import type { Database } from '../database/database.js';

/** How the start of the process went for the bots, for whoever has to judge a release by it. */
export class ResumptionReport {
  private starting = true;
  private failure: string | null = null;

  constructor(
    private readonly deps: {
      bots: Pick<BotService, 'resumptions'>;
      database: Pick<Database, 'tx'>;
      logger: Logger;
    },
  ) {}

  /** Every bot had its turn. */
  over(): void {
    this.starting = false;
  }

  /** Something of the start did not come about, and will not by itself. */
  failed(error: unknown): void {
    const errorId = randomUUID();
    this.deps.logger.error({ err: error, errorId }, 'starting the bots failed');
    this.failure = `Starting did not come to its end. The log has the details under ${errorId}.`;
    this.starting = false;
  }

  async tell(): Promise<Resumption> {
    const { starting, failure } = this;
    const ledger = starting ? null : await this.ledger();
    // After what takes time: of bots, the answer is about now.
    return { starting, failure, bots: this.deps.bots.resumptions(), ledger };
  }

  /** Null where they cannot be read: then nobody may believe that they agree. */
  private async ledger(): Promise<Resumption['ledger']> {
    const { database, logger } = this.deps;
    try {
      return await ledgerFaults(database);
    } catch (error) {
      logger.error({ err: error }, 'the books could not be read');
      return null;
    }
  }
}
