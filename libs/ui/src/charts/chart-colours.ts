/** What a canvas needs to know of the theme. Canvases do not inherit CSS, so the values are read once per theme. */
export interface ChartColours {
  text: string;
  muted: string;
  line: string;
  surface: string;
  up: string;
  down: string;
  warn: string;
  series: string;
}

const VARIABLES: Record<keyof ChartColours, string> = {
  text: '--aviary-text',
  muted: '--aviary-muted',
  line: '--aviary-line',
  surface: '--aviary-surface',
  up: '--aviary-up',
  down: '--aviary-down',
  warn: '--aviary-warn',
  series: '--aviary-series-1',
};

export function readChartColours(element: HTMLElement): ChartColours {
  const style = getComputedStyle(element);
  const read = (name: string) => style.getPropertyValue(name).trim();
  return Object.fromEntries(
    Object.entries(VARIABLES).map(([key, variable]) => [key, read(variable)]),
  ) as unknown as ChartColours;
}

/** The same colour with an opacity, for areas below lines; takes the #rrggbb of our tokens. */
export function withAlpha(colour: string, alpha: number): string {
  const part = Math.round(alpha * 255)
    .toString(16)
    .padStart(2, '0');
  return /^#[0-9a-f]{6}$/i.test(colour) ? `${colour}${part}` : colour;
}
