const SECRET_NAME = /pass(word|phrase)?|secret|token|private_?key|api_?key|cookie|authorization|totp|recovery/i;

/** A copy as JSON would carry it, with values of secret-sounding names replaced. Undefined becomes null. */
export function withoutSecrets(value: unknown): unknown {
  if (value === undefined) {
    return null;
  }
  return JSON.parse(
    JSON.stringify(value, (name: string, inner: unknown) =>
      name !== '' && SECRET_NAME.test(name) && inner !== null ? '[removed]' : inner,
    ),
  ) as unknown;
}
