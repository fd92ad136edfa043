import { z } from 'zod';
import { uuidSchema } from './names.js';
import { BOT_STATES } from './runtime-api.js';

/** Bots and faults an answer tells of at most: those that ran come first. */
export const MOST_BOTS_TOLD = 150;
export const MOST_FAULTS_TOLD = 20;

/**
 * What does not agree in a runtime's books. `state`: what is stored of a bot cannot be read. `cash`, `base`, `profit`,
 * `fills`: a bot's own figures against its trades. `orders`: its open orders against the list of orders. `filled`: an
 * order against its trades. `exchange`: a trade against the exchange's. `unbooked`: a trade that counts nowhere.
 * `assets`: the account against the deposit and what bots took and gave back.
 */
export const LEDGER_PARTS = [
  'state',
  'cash',
  'base',
  'profit',
  'fills',
  'orders',
  'filled',
  'exchange',
  'unbooked',
  'assets',
] as const;
export const ledgerFaultSchema = z.object({
  /** Null for the account as a whole. */
  bot: uuidSchema.nullable(),
  what: z.enum(LEDGER_PARTS),
  /** One sentence for people, with both figures. */
  text: z.string().max(400),
});
export type LedgerFault = z.infer<typeof ledgerFaultSchema>;

export const botResumptionSchema = z.object({
  id: uuidSchema,
  state: z.enum(BOT_STATES),
  /** Whether its row said at the start of the process that it is to run. */
  ran: z.boolean(),
  /** Whether it agrees with the exchange since, and is at its work, or as the platform holds it. */
  resumed: z.boolean(),
  /** Why it is in `error`; null in other states. */
  reason: z.string().max(400).nullable(),
});
export type BotResumption = z.infer<typeof botResumptionSchema>;

/**
 * GET /resumption of a runtime, for the platform alone: whether what ran before the process began runs again, and
 * whether its books agree. Authenticated like /activity, with the audience RESUMPTION_AUDIENCE. It is asked around the
 * change to another release. /ready tells nothing of it: a bot in `error` is no reason to start a stack anew.
 */
export const resumptionSchema = z.object({
  /** While it is true, the rest may change by itself. */
  starting: z.boolean(),
  /** Why starting did not come to its end, in words; null while it goes on and where it did. */
  failure: z.string().max(400).nullable(),
  /** All that are not over, and those that ended within a day. */
  bots: z.array(botResumptionSchema).max(MOST_BOTS_TOLD),
  /** Empty where the books agree; null while starting, and where they could not be read. */
  ledger: z.array(ledgerFaultSchema).max(MOST_FAULTS_TOLD).nullable(),
});
export type Resumption = z.infer<typeof resumptionSchema>;
export const RESUMPTION_AUDIENCE = 'aviary-resumption';
