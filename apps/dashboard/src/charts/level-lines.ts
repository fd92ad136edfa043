import type {
  IPrimitivePaneRenderer,
  IPrimitivePaneView,
  ISeriesPrimitive,
  ISeriesPrimitiveAxisView,
  SeriesAttachedParameter,
  Time,
} from 'lightweight-charts';
import type { ChartColours } from '#libs/ui';

export type LevelKind = 'buy' | 'sell' | 'empty' | 'bound' | 'stop' | 'target';

export interface ChartLevel {
  id: string;
  /** Chart coordinate of the price; the words of `label` come from the exact text. */
  at: number;
  kind: LevelKind;
  /** Shown on the price axis. Only bounds, stop, target and the next level of each side carry one. */
  label?: string;
  draggable?: boolean;
}

/** Height of a label on the price axis. */
const LABEL_PX = 20;

/** Dashes in CSS pixels: kinds differ by pattern first and by colour second. */
const DASHES: Record<LevelKind, number[]> = {
  buy: [],
  sell: [5, 4],
  empty: [1, 4],
  bound: [10, 4],
  stop: [2, 3],
  target: [2, 3],
};

export function colourOf(kind: LevelKind, colours: ChartColours): string {
  switch (kind) {
    case 'buy':
      return colours.up;
    case 'sell':
      return colours.down;
    case 'empty':
      return colours.muted;
    case 'bound':
    case 'target':
      return colours.series;
    case 'stop':
      return colours.warn;
  }
}

/**
 * All levels of a grid as ONE primitive of the candle series: a price line per level piles up labels, and a line
 * series per level crawls from a few hundred on.
 */
export class LevelLines implements ISeriesPrimitive<Time> {
  private attachedTo: SeriesAttachedParameter | null = null;
  private levels: readonly ChartLevel[] = [];
  private labels: readonly ISeriesPrimitiveAxisView[] = [];
  private readonly views: readonly IPrimitivePaneView[];

  constructor(private colours: ChartColours) {
    const renderer: IPrimitivePaneRenderer = {
      draw: (target) => {
        target.useBitmapCoordinateSpace(({ context, bitmapSize, horizontalPixelRatio, verticalPixelRatio }) => {
          context.lineWidth = Math.max(1, Math.floor(verticalPixelRatio));
          for (const level of this.levels) {
            const y = this.coordinateOf(level);
            if (y === null) {
              continue;
            }
            // half a device pixel: otherwise a hairline is smeared over two rows
            const row = Math.round(y * verticalPixelRatio) + 0.5;
            context.beginPath();
            context.strokeStyle = colourOf(level.kind, this.colours);
            context.globalAlpha = level.kind === 'bound' || level.draggable ? 0.95 : 0.6;
            context.setLineDash(DASHES[level.kind].map((dash) => dash * horizontalPixelRatio));
            context.moveTo(0, row);
            context.lineTo(bitmapSize.width, row);
            context.stroke();
          }
        });
      },
    };
    this.views = [{ zOrder: () => 'bottom', renderer: () => renderer }];
  }

  attached(parameters: SeriesAttachedParameter): void {
    this.attachedTo = parameters;
    this.rebuildLabels();
  }

  detached(): void {
    this.attachedTo = null;
  }

  set(levels: readonly ChartLevel[], colours: ChartColours): void {
    this.levels = levels;
    this.colours = colours;
    this.rebuildLabels();
    this.attachedTo?.requestUpdate();
  }

  paneViews(): readonly IPrimitivePaneView[] {
    return this.views;
  }

  priceAxisViews(): readonly ISeriesPrimitiveAxisView[] {
    return this.labels;
  }

  /** Keeps the grid in sight however quiet the price is. Exits lie far off and would flatten the candles. */
  autoscaleInfo() {
    const last = this.attachedTo?.series.data().at(-1);
    const price = last !== undefined && 'close' in last ? last.close : null;
    const marked = this.levels
      .filter(({ kind }) => kind !== 'stop' && kind !== 'target')
      .map((level) => level.at)
      // a price half typed must not squeeze the candles into a line
      .filter((at) => price === null || (at > price / 2 && at < price * 2));
    if (marked.length === 0) {
      return null;
    }
    return { priceRange: { minValue: Math.min(...marked), maxValue: Math.max(...marked) } };
  }

  /** The draggable level nearest to a height in the pane, if one is within reach of the pointer. */
  draggableNear(y: number, reach: number): ChartLevel | null {
    let best: ChartLevel | null = null;
    let distance = reach;
    for (const level of this.levels) {
      const at = level.draggable ? this.coordinateOf(level) : null;
      if (at !== null && Math.abs(at - y) <= distance) {
        best = level;
        distance = Math.abs(at - y);
      }
    }
    return best;
  }

  private coordinateOf(level: ChartLevel): number | null {
    return this.attachedTo?.series.priceToCoordinate(level.at) ?? null;
  }

  /** The label of the price itself comes first: one that would cover it waits, except where it is what is dragged. */
  private labelFits(level: ChartLevel): boolean {
    const own = this.coordinateOf(level);
    const last = this.attachedTo?.series.data().at(-1);
    const price = last !== undefined && 'close' in last ? this.attachedTo?.series.priceToCoordinate(last.close) : null;
    return own !== null && (level.draggable === true || typeof price !== 'number' || Math.abs(own - price) >= LABEL_PX);
  }

  private rebuildLabels(): void {
    this.labels = this.levels
      .filter((level) => level.label !== undefined)
      .map((level) => ({
        coordinate: () => this.coordinateOf(level) ?? -1000,
        text: () => level.label ?? '',
        textColor: () => this.colours.surface,
        backColor: () => colourOf(level.kind, this.colours),
        visible: () => this.labelFits(level),
      }));
  }
}
