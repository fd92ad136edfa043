/** Exit code of ask-health for a process that answers and is not well; what is wrong stands on standard error. */
export const UNWELL = 10;

/** `{"checks": {"database": "ok", "releases": "none"}}` → what is not ok, `name: words`; without checks the answer. */
export function complaints(body: string): string[] {
  let checks: unknown;
  try {
    checks = (JSON.parse(body) as { checks?: unknown }).checks;
  } catch {
    // Not JSON: what it says stands for itself.
  }
  const wrong = Object.entries((checks ?? {}) as Record<string, unknown>).filter(([, says]) => says !== 'ok');
  return wrong.length > 0 ? wrong.map(([name, says]) => `${name}: ${String(says)}`) : [body.trim().slice(0, 300)];
}
