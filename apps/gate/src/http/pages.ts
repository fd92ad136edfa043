import { createHash } from 'node:crypto';

/** What a page says. Text only: it is escaped where it is put in. */
export interface Page {
  status: number;
  title: string;
  text: string;
  link?: { href: string; label: string };
  /** A form that posts nothing to this path. */
  button?: { action: string; label: string };
  /** The page asks again by itself after so many seconds, since it runs no script. */
  refreshSeconds?: number;
}

const STYLE = `:root{color-scheme:light dark;--back:#f6f7f4;--card:#fff;--text:#1b2320;--soft:#55605b;--line:#dfe4df;--lead:#17684f;--on:#fff}
@media(prefers-color-scheme:dark){:root{--back:#101513;--card:#181f1c;--text:#e9efec;--soft:#a2aea8;--line:#2a3430;--lead:#7ed3b4;--on:#0d1512}}
*{box-sizing:border-box}body{margin:0;min-height:100vh;display:grid;place-items:center;padding:24px;background:var(--back);color:var(--text);font:16px/1.55 system-ui,sans-serif}
main{width:100%;max-width:440px;background:var(--card);border:1px solid var(--line);border-radius:14px;padding:32px}
svg{display:block;width:40px;height:40px;margin:0 0 20px;color:var(--lead)}h1{margin:0 0 8px;font-size:22px;line-height:1.25;letter-spacing:-.01em}p{margin:0 0 20px;color:var(--soft)}
a,button{display:inline-block;min-height:44px;padding:10px 18px;border:0;border-radius:9px;background:var(--lead);color:var(--on);font:inherit;font-weight:600;text-decoration:none;cursor:pointer}
a:focus-visible,button:focus-visible{outline:3px solid var(--lead);outline-offset:3px}form{margin:0}`;

const STYLE_HASH = createHash('sha256').update(STYLE).digest('base64');

/** A bird on a wire. */
const MARK = `<svg viewBox="0 0 40 40" fill="none" stroke="currentColor" stroke-width="2.4" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="M3 33h34"/><path d="M9 23c0-8 5-13 12-13 4 0 6 2 7 5l5 2-5 2c0 8-5 11-11 11-5 0-8-3-8-7Z"/><path d="M9 23 4 18"/><path d="M16 30v3M21 29v4"/><circle cx="23.500" cy="15" r=".8" fill="currentColor"/></svg>`;

const ESCAPES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (char) => ESCAPES[char] ?? char);

export function renderPage(page: Page): string {
  const refresh = page.refreshSeconds ? `<meta http-equiv="refresh" content="${page.refreshSeconds}">` : '';
  const link = page.link ? `<a href="${escapeHtml(page.link.href)}">${escapeHtml(page.link.label)}</a>` : '';
  const button = page.button
    ? `<form method="post" action="${escapeHtml(page.button.action)}"><button>${escapeHtml(page.button.label)}</button></form>`
    : '';
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">${refresh}<title>${escapeHtml(page.title)}</title><style>${STYLE}</style></head>
<body><main>${MARK}<h1>${escapeHtml(page.title)}</h1><p>${escapeHtml(page.text)}</p>${link}${button}</main></body></html>
`;
}

/** The portal is named because browsers hold a form's redirects to form-action too. */
export function pageHeaders(portalOrigin: string): Record<string, string> {
  return {
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-store',
    'content-security-policy': `default-src 'none'; style-src 'sha256-${STYLE_HASH}'; form-action 'self' ${portalOrigin}; frame-ancestors 'none'; base-uri 'none'`,
    // Not no-referrer: under that a form's Origin is null, and sign-out asks for it.
    'referrer-policy': 'same-origin',
    'x-content-type-options': 'nosniff',
  };
}

/** What the gate says in place of a stack, by the word its route carries. */
const STAND_INS: Record<string, Omit<Page, 'link' | 'status'>> = {
  away: {
    title: 'Not answering',
    text: 'This stack does not answer right now. This page tries again by itself. The portal says what is known.',
    refreshSeconds: 5,
  },
  starting: { title: 'Starting…', text: 'This dashboard opens by itself in a few seconds.', refreshSeconds: 2 },
  asleep: {
    title: 'Asleep',
    text: 'No bot runs here, so this stack is asleep. Its data is kept. Its owner wakes it by opening this page.',
  },
  stopped: {
    title: 'Stopped',
    text: 'This stack was stopped. Your data is kept and nothing trades. Start it from the portal.',
  },
  suspended: {
    title: 'Suspended',
    text: 'This stack is suspended. Your data is kept. The portal says why and what to do.',
  },
};

/** To the owner whose visit wakes a stack. */
export const WAKING: Page = {
  status: 503,
  title: 'Waking up…',
  text: 'This stack was asleep because no bot ran. The dashboard opens by itself in a few seconds.',
  refreshSeconds: 2,
};

/** The same while the portal, which would have to wake it, does not answer. */
export const WAKING_LATER: Page = {
  status: 503,
  title: 'Asleep',
  text: 'This stack is asleep, and the portal does not answer to wake it. Your data is kept. This page tries again by itself.',
  refreshSeconds: 10,
};

const DID_NOT_START = 'This stack was to start, and did not.';
const AFTER_THAT = 'Its data is kept. The portal says what can be done.';
/** After a start that failed, to whoever is not told why. */
export const FAILED_START = `${DID_NOT_START} ${AFTER_THAT}`;

/** After a start that failed; the reason is for its owner. */
export function failedStartPage(slug: string, reason: string | null, portalOrigin: string): Page {
  return {
    status: 503,
    title: 'It did not start',
    text: reason === null ? FAILED_START : `${DID_NOT_START} ${reason} ${AFTER_THAT}`,
    link: { href: `${portalOrigin}/app/stacks/${slug}`, label: 'Open the portal' },
  };
}

export function isStandIn(word: string | undefined): word is string {
  return word !== undefined && Object.hasOwn(STAND_INS, word);
}

export function standInPage(word: string, portalOrigin: string): Page {
  const link = { href: `${portalOrigin}/app`, label: 'Open the portal' };
  const found = isStandIn(word) ? STAND_INS[word] : undefined;
  if (!found) {
    const text = 'There is no dashboard at this address. Look at the address again, or find yours on the portal.';
    return { status: 404, title: 'Nothing here', text, link };
  }
  return { status: 503, ...found, ...(word === 'starting' ? {} : { link }) };
}

/** The same for whoever reads no pages. */
export function standInMessage(word: string): string {
  return word === 'away' ? 'This stack does not answer right now.' : `This stack does not answer: it is ${word}.`;
}
