/** The colours of both schemes; every one has a meaning, and pages use no others. */
export const TOKENS = {
  light: {
    bg: '#F6F5F1',
    surface: '#FFFFFF',
    sunken: '#ECEAE4',
    text: '#1B1F24',
    muted: '#57606A',
    line: '#D9D6CE',
    control: '#8A8577',
    primary: '#1B1F24',
    'on-primary': '#FFFFFF',
    brand: '#0E5E8F',
    ok: '#2F6F2E',
    bad: '#B3261E',
    warn: '#8A5A00',
    work: '#0E5E8F',
    'on-tone': '#FFFFFF',
    up: '#0B7A75',
    down: '#C4320A',
    'cb-up': '#1565C0',
    'cb-down': '#B45309',
    'series-1': '#0E5E8F',
    'series-2': '#A68D3F',
    'series-3': '#701010',
    'series-4': '#169C9C',
    'series-5': '#101070',
  },
  dark: {
    bg: '#0F1316',
    surface: '#171C20',
    sunken: '#0B0E10',
    text: '#E7EAEC',
    muted: '#9AA5AE',
    line: '#2B333A',
    control: '#6B7780',
    primary: '#E7EAEC',
    'on-primary': '#0F1316',
    brand: '#6CB8E6',
    ok: '#7CC878',
    bad: '#FF8A80',
    warn: '#E8B04A',
    work: '#6CB8E6',
    'on-tone': '#0F1316',
    up: '#38D9C0',
    down: '#FF6B5B',
    'cb-up': '#5AA9FF',
    'cb-down': '#FF9E4A',
    'series-1': '#6CB8E6',
    'series-2': '#E2B736',
    'series-3': '#C7E6BC',
    'series-4': '#E96384',
    'series-5': '#A663E9',
  },
} as const;

export type Scheme = keyof typeof TOKENS;
export type TokenName = keyof (typeof TOKENS)['light'];
type SameNames = (typeof TOKENS)['dark'] extends Record<TokenName, string> ? true : never;
/** Fails to compile when one scheme lacks a token of the other. */
export const BOTH_SCHEMES_COMPLETE: SameNames = true;

export function tokenVariable(name: TokenName): string {
  return `var(--aviary-${name})`;
}

/** `--aviary-…: …` of one scheme. `off` and `none` are tones too: both are told by the muted colour, icon and word. */
export function tokenVariables(scheme: Scheme): Record<string, string> {
  const own = Object.entries(TOKENS[scheme]).map(([name, value]) => [`--aviary-${name}`, value] as const);
  return {
    ...Object.fromEntries(own),
    '--aviary-off': TOKENS[scheme].muted,
    '--aviary-none': TOKENS[scheme].muted,
  };
}
