export type TextPart = { kind: 'text'; text: string } | { kind: 'link'; text: string };

/** A mail's plain text with its http(s) addresses marked, so that a page can make them links and nothing else. */
export function splitLinks(text: string): TextPart[] {
  const parts: TextPart[] = [];
  let end = 0;
  for (const match of text.matchAll(/https?:\/\/[^\s<>"']+/g)) {
    // a full stop or bracket after an address belongs to the sentence
    const link = match[0].replace(/[.,;:!?)\]}]+$/, '');
    if (match.index > end) {
      parts.push({ kind: 'text', text: text.slice(end, match.index) });
    }
    parts.push({ kind: 'link', text: link });
    end = match.index + link.length;
  }
  return end < text.length ? [...parts, { kind: 'text', text: text.slice(end) }] : parts;
}
