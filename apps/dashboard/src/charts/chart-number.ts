import { Decimal } from 'decimal.js';

/**
 * The one place of the dashboard where money becomes a JavaScript number: a position on a canvas. A pixel is far
 * coarser than a double, so nothing a person reads is lost. Figures in words never pass through here.
 */
export function toChartNumber(amount: string): number {
  return new Decimal(amount).toNumber();
}

/** A position dragged on a canvas, back as text on the pair's tick; never below one tick. */
export function fromChartNumber(position: number, tick: string): string {
  const step = new Decimal(tick);
  const ticks = Decimal.max(1, new Decimal(position).div(step).round());
  return ticks.mul(step).toFixed(step.decimalPlaces());
}

/** A moment in the seconds that both chart libraries count in, always UTC. */
export function toChartTime(iso: string): number {
  return Math.floor(Date.parse(iso) / 1000);
}
