import {
  createTheme,
  rem,
  type CSSVariablesResolver,
  type MantineColorsTuple,
  type MantineThemeOverride,
  type VariantColorsResolver,
} from '@mantine/core';
import { TOKENS, tokenVariables } from './tokens.js';

/** Mantine wants ten shades of a colour. Ours have one per scheme and come from variables, so shades never show. */
const flat = (colour: string): MantineColorsTuple => [
  colour,
  colour,
  colour,
  colour,
  colour,
  colour,
  colour,
  colour,
  colour,
  colour,
];

const TONE_COLOURS = ['ok', 'bad', 'warn', 'work', 'up', 'down', 'brand'] as const;
const hasTone = (colour: string): boolean => TONE_COLOURS.some((tone) => tone === colour);

const mix = (colour: string, percent: number, into: string): string =>
  `color-mix(in srgb, ${colour} ${percent}%, ${into})`;

/** Buttons and the like: ink or one tone; nothing is ever a tinted background with text of the same hue. */
const variantColorResolver: VariantColorsResolver = ({ color, variant }) => {
  const tone = color !== undefined && hasTone(color);
  const own = tone ? `var(--aviary-${color})` : 'var(--aviary-primary)';
  const on = tone ? 'var(--aviary-on-tone)' : 'var(--aviary-on-primary)';
  const hover = 'var(--aviary-sunken)';
  switch (variant) {
    case 'filled':
      return { background: own, hover: mix(own, 86, 'var(--aviary-bg)'), color: on, border: '1px solid transparent' };
    case 'default':
    case 'outline':
      return {
        background: 'var(--aviary-surface)',
        hover,
        color: tone ? own : 'var(--aviary-text)',
        border: '1px solid var(--aviary-control)',
      };
    case 'transparent':
      return { background: 'transparent', hover: 'transparent', color: own, border: '1px solid transparent' };
    default:
      return { background: 'transparent', hover, color: own, border: '1px solid transparent' };
  }
};

const FONT = "'Inter Variable', system-ui, -apple-system, 'Segoe UI', sans-serif";
const MONO = "'JetBrains Mono', ui-monospace, 'Cascadia Mono', monospace";
const size = (px: number, line: number) => ({ fontSize: rem(px), lineHeight: `${line / px}`, fontWeight: '600' });

export const theme: MantineThemeOverride = createTheme({
  colors: {
    ink: flat(TOKENS.light.primary),
    ...Object.fromEntries(TONE_COLOURS.map((tone) => [tone, flat(TOKENS.light[tone])])),
  },
  primaryColor: 'ink',
  variantColorResolver,
  fontFamily: FONT,
  fontFamilyMonospace: MONO,
  fontSizes: { xs: rem(12), sm: rem(13), md: rem(14), lg: rem(16), xl: rem(20) },
  lineHeights: { xs: '1.3334', sm: '1.3847', md: '1.4286', lg: '1.5', xl: '1.3' },
  headings: {
    fontFamily: FONT,
    sizes: {
      h1: size(26, 32),
      h2: size(20, 26),
      h3: size(16, 24),
      h4: size(14, 20),
      h5: size(13, 18),
      h6: size(12, 16),
    },
  },
  spacing: { xs: rem(8), sm: rem(12), md: rem(16), lg: rem(24), xl: rem(32) },
  radius: { xs: rem(4), sm: rem(4), md: rem(8), lg: rem(8), xl: rem(8) },
  shadows: { xs: 'none', sm: 'none', md: 'none', lg: 'none', xl: 'none' },
  defaultRadius: 'sm',
  cursorType: 'pointer',
  focusRing: 'auto',
  respectReducedMotion: true,
  components: {
    Paper: { defaultProps: { withBorder: true, radius: 'md', shadow: 'none' } },
    Button: { defaultProps: { size: 'sm' } },
    Modal: { defaultProps: { radius: 'md', shadow: 'none', overlayProps: { backgroundOpacity: 0.45 } } },
    // The placeholder that would be focused first is no item, and nothing else may stand in a menu.
    Menu: {
      defaultProps: { shadow: 'none', radius: 'md', withinPortal: true, withInitialFocusPlaceholder: false },
    },
    Tooltip: { defaultProps: { withArrow: false, openDelay: 300, events: { hover: true, focus: true, touch: true } } },
    Tabs: { defaultProps: { variant: 'default' } },
    Checkbox: { defaultProps: { iconColor: 'var(--aviary-on-primary)' } },
    Anchor: { defaultProps: { underline: 'always' } },
    Table: { defaultProps: { verticalSpacing: rem(9), horizontalSpacing: 'sm', highlightOnHover: true } },
  },
});

const SHARED = (scheme: 'light' | 'dark'): Record<string, string> => ({
  ...tokenVariables(scheme),
  '--mantine-color-body': 'var(--aviary-bg)',
  '--mantine-color-text': 'var(--aviary-text)',
  '--mantine-color-bright': 'var(--aviary-text)',
  '--mantine-color-dimmed': 'var(--aviary-muted)',
  '--mantine-color-placeholder': 'var(--aviary-muted)',
  '--mantine-color-anchor': 'var(--aviary-brand)',
  '--mantine-color-error': 'var(--aviary-bad)',
  '--mantine-color-default': 'var(--aviary-surface)',
  '--mantine-color-default-hover': 'var(--aviary-sunken)',
  '--mantine-color-default-color': 'var(--aviary-text)',
  '--mantine-color-default-border': 'var(--aviary-line)',
  '--mantine-color-disabled': 'var(--aviary-sunken)',
  '--mantine-color-disabled-color': 'var(--aviary-muted)',
  '--mantine-color-disabled-border': 'var(--aviary-line)',
  '--mantine-primary-color-filled': 'var(--aviary-primary)',
  '--mantine-primary-color-filled-hover': 'var(--aviary-primary)',
  '--mantine-primary-color-contrast': 'var(--aviary-on-primary)',
  '--mantine-color-ink-filled': 'var(--aviary-primary)',
  '--mantine-color-ink-outline': 'var(--aviary-primary)',
  // a menu's item asks for the shade, which is of one scheme
  ...Object.fromEntries(TONE_COLOURS.map((tone) => [`--mantine-color-${tone}-6`, `var(--aviary-${tone})`])),
});

/** Mantine's own variables are set from the tokens, so that every component follows them. */
export const cssVariablesResolver: CSSVariablesResolver = () => ({
  variables: {},
  light: SHARED('light'),
  dark: SHARED('dark'),
});
