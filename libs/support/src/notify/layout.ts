export interface MailContent {
  subject: string;
  greeting: string;
  paragraphs: string[];
  button?: { label: string; url: string };
  /** After the button: what to do when it was not you, until when the link holds. */
  notes: string[];
  portalUrl: string;
}

export interface RenderedMail {
  subject: string;
  text: string;
  html: string;
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
const escapeHtml = (text: string): string => text.replaceAll(/[&<>"']/g, (char) => ESCAPES[char] ?? char);

/** Only web addresses may become links; anything else is a programming error. */
function webAddress(url: string): string {
  const parsed = new URL(url);
  if (parsed.protocol !== 'https:' && parsed.protocol !== 'http:') {
    throw new Error('A link in a mail must be a web address');
  }
  return parsed.href;
}

/** One layout for every mail: plain text, and HTML with inline styles only, since mail programs drop the rest. */
export function renderMail(content: MailContent): RenderedMail {
  const url = content.button ? webAddress(content.button.url) : null;
  const text = [
    content.greeting,
    ...content.paragraphs,
    ...(content.button && url ? [`${content.button.label}:\n${url}`] : []),
    ...content.notes,
    `-- \nAviary, ${content.portalUrl}`,
  ].join('\n\n');
  const paragraph = (line: string, style: string): string => `<p style="${style}">${escapeHtml(line)}</p>`;
  const html = [
    '<!doctype html><html lang="en"><head><meta charset="utf-8">',
    `<meta name="viewport" content="width=device-width"><title>${escapeHtml(content.subject)}</title></head>`,
    '<body style="margin:0;background:#f6f3ec;color:#1f1d1a;font:16px/24px Inter,Segoe UI,Helvetica,Arial,sans-serif">',
    '<div style="max-width:520px;margin:0 auto;padding:32px 24px">',
    '<div style="border-left:3px solid #1f1d1a;padding-left:12px;font-weight:600;margin-bottom:24px">Aviary</div>',
    paragraph(content.greeting, 'margin:0 0 16px'),
    ...content.paragraphs.map((line) => paragraph(line, 'margin:0 0 16px')),
    ...(content.button && url
      ? [
          `<p style="margin:24px 0"><a href="${escapeHtml(url)}" style="display:inline-block;background:#1f1d1a;`,
          `color:#fff;text-decoration:none;padding:12px 20px;border-radius:4px">${escapeHtml(content.button.label)}</a></p>`,
          `<p style="margin:0 0 16px;font-size:13px;line-height:18px;word-break:break-all">${escapeHtml(url)}</p>`,
        ]
      : []),
    ...content.notes.map((line) => paragraph(line, 'margin:0 0 12px;font-size:14px;line-height:20px;color:#5d574d')),
    `<p style="margin:32px 0 0;font-size:13px;color:#5d574d">Aviary, ${escapeHtml(content.portalUrl)}</p>`,
    '</div></body></html>',
  ].join('');
  return { subject: content.subject, text, html };
}
