/** `.env`: one `NAME=value` a line, `#` comments. Values may stand in single or double quotes; nothing is expanded. */
export function parseEnvFile(text: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const line of text.split('\n')) {
    const match = /^\s*(?:export\s+)?([A-Z][A-Z0-9_]*)\s*=\s*(.*?)\s*$/.exec(line);
    if (match?.[1] !== undefined) {
      values.set(match[1], (match[2] ?? '').replace(/^(['"])(.*)\1$/, '$2'));
    }
  }
  return values;
}

export interface EnvEntry {
  name: string;
  value: string;
  /** What it is for; becomes the comment above it. */
  comment?: string;
}

/** The text with the entries it lacks added at its end. What it says already stays, character by character. */
export function appendMissing(text: string, entries: readonly EnvEntry[]): string {
  const there = parseEnvFile(text);
  const missing = entries.filter(({ name }) => !there.has(name));
  if (missing.length === 0) {
    return text;
  }
  const start = text === '' || text.endsWith('\n') ? text : `${text}\n`;
  return `${start}${missing
    .map(({ name, value, comment }) => `${comment === undefined ? '' : `# ${comment}\n`}${name}=${value}\n`)
    .join('')}`;
}
