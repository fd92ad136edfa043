/** Plain text: paragraphs are separated by an empty line, a heading is a line that begins with a number and a full stop. */
export const DISCLAIMER_1_0_0 = {
  version: '1.0.0',
  title: 'Before you let software trade for you',
  text: `This page describes what can go wrong. Read it slowly. By accepting it you say that you have understood it and that you trade at your own risk and for your own account.

1. You can lose all of it
Prices of crypto-assets can fall by half within hours and some never recover. Money placed in an automated strategy can be lost completely. With borrowed money or leverage you can lose more than you put in. Do not use money you need for rent, food, debts, health or old age.

2. A bot is not advice and not a guarantee
Aviary runs the strategies you choose with the settings you choose. Nobody here knows your circumstances, recommends a strategy or manages your assets. Results of a backtest or of paper trading are calculations on the past or on simulated prices. Real markets add slippage, delays, missing liquidity and orders that are filled in part. A strategy that earned in the past may lose in the future.

3. Every strategy has a market in which it loses
A grid earns while a price moves back and forth inside its range. When the price leaves the range downwards you are left holding an asset worth less than you paid; when it leaves upwards you have sold early. Other strategies have weaknesses of their own. The dashboard shows realised and unrealised results side by side: look at the total, not at the pleasant half.

4. Software and machines fail
Programs contain errors. Servers, networks, databases and exchanges become slow or stop. An order may be sent late, twice or not at all, and a stop may be executed far from its price or not be executed. The platform keeps records, retries and reconciles in order to limit such damage. It cannot exclude it. You remain responsible for watching your positions and must be able to close them directly at your exchange.

5. Exchanges are other companies
Your assets lie at an exchange you have chosen, under its terms. It may halt trading, change its rules, refuse withdrawals, be attacked or become insolvent. Aviary does not hold your assets and cannot give them back.

6. Your keys are your responsibility
Connect only exchange keys that cannot withdraw and that are limited to the address of your stack. Anyone who holds a key with more rights can take your assets. Tell us and revoke the key at the exchange at once when you suspect that someone else has it.

7. Costs come off the result
Trading fees, funding payments, spreads and the price of your plan, including a share of profit where your plan has one, reduce what is left. A strategy that trades often can lose to fees alone.

8. Law and tax are yours
Trading crypto-assets or derivatives is restricted or forbidden in some places and to some persons. You confirm that you may do it where you live, that you are of age, and that you will declare and pay the taxes due.

9. Paper first
New stacks trade on paper. Switch a bot to real money only after you have watched it through calm and restless days, with an amount whose loss you can bear, and with a limit on loss set.

10. If you are unsure
Do not start. Ask an independent adviser who knows your situation. You can stop every bot at any time; stopping does not undo trades that were made.`,
} as const;
