import type { BotResumption, LedgerFault, Resumption } from '#libs/contracts';
import { judgeResumption, judgeSince, type Before } from './resumption.js';

const [ONE, TWO] = ['0b8d9d44-9c5e-4a44-8a39-0a5d6a1f0b11', '0b8d9d44-9c5e-4a44-8a39-0a5d6a1f0b12'];
const bot = (id: string, change: Partial<BotResumption> = {}): BotResumption => {
  return { id, state: 'running', ran: true, resumed: true, reason: null, ...change };
};
const told = (change: Partial<Resumption> = {}): Resumption => {
  return { starting: false, failure: null, bots: [bot(ONE), bot(TWO)], ledger: [], ...change };
};
const both: Before = { running: [ONE, TWO], ledger: [] };
const cash: LedgerFault = { bot: ONE, what: 'cash', text: 'Cash is 1 and not 2.' };
const fills: LedgerFault = { bot: ONE, what: 'fills', text: 'Trades are 1 and not 2.' };
const judged = (before: Before | null, change: Partial<Resumption>, held = false): string => {
  const { over, well, message } = judgeResumption(before, told(change), { held });
  return `${over ? (well ? 'well' : 'failed') : 'open'}: ${message}`;
};
const failing = (reason: string | null): Partial<BotResumption> => ({ state: 'error', resumed: false, reason });

describe('what a runtime says after its start', () => {
  it('is well where every bot that ran is at its work and the books agree', () => {
    expect(judged(both, {})).toBe('well: 2 of 2 bots resumed, ledger consistent');
    expect(judged(null, {})).toBe('well: 2 of 2 bots resumed, ledger consistent');
    expect(judged({ running: [], ledger: [] }, { bots: [] })).toBe('well: no bot ran, ledger consistent');
  });

  it('does not miss bots that somebody paused, that ended, that were in error before, or that were made since', () => {
    const paused = bot(ONE, { state: 'paused', ran: false });
    const ended = bot(TWO, { state: 'stopped', ran: false, resumed: false });
    expect(judged(both, { bots: [paused, ended] })).toBe('well: no bot ran, ledger consistent');
    const before = { running: [ONE], ledger: [] };
    const broken = bot(TWO, { ran: false, ...failing('It broke last week.') });
    expect(judged(before, { bots: [bot(ONE), broken] })).toBe('well: 1 of 1 bots resumed, ledger consistent');
    const made = bot(TWO, { state: 'created', ran: false });
    expect(judged(before, { bots: [bot(ONE), made] })).toBe('well: 1 of 1 bots resumed, ledger consistent');
  });

  it('has failed by a bot in error, gone, or as if never started, with the first reason', () => {
    expect(judged(both, { bots: [bot(ONE, failing('It broke. See x.')), bot(TWO, failing('So did I.'))] })).toBe(
      'failed: 0 of 2 bots resumed: It broke. See x.',
    );
    expect(judged(both, { bots: [bot(ONE, failing(null)), bot(TWO)] })).toBe(
      `failed: 1 of 2 bots resumed: bot ${ONE} is in error.`,
    );
    expect(judged(both, { bots: [bot(ONE)] })).toBe(`failed: 1 of 2 bots resumed: bot ${TWO} is not there any more.`);
    expect(judged(both, { bots: [bot(ONE), bot(TWO, { state: 'created', ran: false })] })).toBe(
      `failed: 1 of 2 bots resumed: bot ${TWO} is as if it had never been started.`,
    );
    // Set so by a migration: by its own row it was not to run.
    expect(judged(both, { bots: [bot(ONE), bot(TWO, { ran: false, ...failing('It broke.') })] })).toBe(
      'failed: 1 of 2 bots resumed: It broke.',
    );
  });

  it('is open while it starts, also where a bot failed already, and while a bot waits', () => {
    const bots = [bot(ONE, failing('It broke.')), bot(TWO, { resumed: false })];
    expect(judged(both, { starting: true, ledger: null, bots })).toBe('open: 0 of 2 bots resumed: It broke.');
    expect(judged(both, { starting: true, ledger: null })).toBe(
      'open: 2 of 2 bots resumed: the runtime was still starting.',
    );
    expect(judged(both, { bots: [bot(ONE), bot(TWO, { resumed: false })] })).toBe(
      `open: 1 of 2 bots resumed: bot ${TWO} has not taken up its work.`,
    );
  });

  it('has failed where starting did not come to its end', () => {
    const failure = 'Starting did not come to its end. The log has the details under x.';
    expect(judged(both, { failure })).toBe(`failed: 2 of 2 bots resumed: ${failure}`);
  });

  it('has failed by books that do not agree, unless they did not before', () => {
    const wrong = 'failed: The ledger is not consistent: Cash is 1 and not 2';
    expect(judged(both, { ledger: [cash] })).toBe(`${wrong}.`);
    expect(judged(null, { ledger: [cash, fills] })).toBe(`${wrong} (and 1 more).`);
    const before = { ...both, ledger: [`${ONE} cash`] };
    expect(judged(before, { ledger: [{ ...cash, text: 'Cash is 3 and not 4.' }] })).toBe(
      'well: 2 of 2 bots resumed, ledger as inconsistent as before',
    );
    expect(judged(before, { ledger: [cash, fills] })).toBe(
      'failed: The ledger is not consistent: Trades are 1 and not 2.',
    );
    expect(judged(both, { bots: [bot(ONE, failing('It broke.')), bot(TWO)], ledger: [cash] })).toBe(
      'failed: 1 of 2 bots resumed: It broke. The ledger is not consistent: Cash is 1 and not 2.',
    );
  });

  it('is open while the books could not be read, unless they could not before either', () => {
    expect(judged(both, { ledger: null })).toBe('open: It is not known whether the ledger is consistent.');
    expect(judged({ ...both, ledger: null }, { ledger: null })).toBe(
      'well: 2 of 2 bots resumed, ledger not read, as before',
    );
  });

  it('misses no bot of a stack that may not trade', () => {
    expect(judged(both, { bots: [bot(ONE, failing('It may not trade.'))] }, true)).toBe(
      'well: no bot ran, ledger consistent',
    );
  });
});

describe('what a runtime says some time after its upgrade', () => {
  const since = (before: Before | null, change: Partial<Resumption>): string | null | undefined =>
    judgeSince(before, told(change));

  it('is nothing where bots that ran are at work, paused, ended or gone, and the books agree or did not before', () => {
    expect(since(both, {})).toBeNull();
    expect(since(both, { bots: [bot(ONE, { state: 'paused' })] })).toBeNull();
    expect(since({ running: [], ledger: ['x'] }, { ledger: null })).toBeNull();
    expect(since({ running: [ONE, TWO], ledger: [`${ONE} cash`] }, { ledger: [cash] })).toBeNull();
  });

  it('counts bots in error that ran when the release came, and none that was in error then or was made since', () => {
    const broke = bot(ONE, { ran: false, ...failing('It broke. See x.') });
    expect(since(both, { bots: [broke, bot(TWO)] })).toBe('1 of 2 bots stopped by an error since: It broke. See x.');
    expect(since({ running: [TWO], ledger: [] }, { bots: [broke, bot(TWO)] })).toBeNull();
    // Where nobody could say what ran, those that the process found at work count.
    expect(since(null, { bots: [{ ...broke, ran: true }, bot(TWO)] })).toMatch(/^1 of 2 bots/);
  });

  it('tells what did not come about at the start, and books that no longer agree', () => {
    expect(since(both, { failure: 'Starting did not come to its end.', ledger: [fills] })).toBe(
      'Starting did not come to its end. The ledger is not consistent: Trades are 1 and not 2.',
    );
  });

  it('says nothing while the runtime starts', () => {
    expect(since(both, { starting: true, bots: [bot(ONE, failing('x'))] })).toBeUndefined();
  });
});
