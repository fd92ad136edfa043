// Mail headers are lines: a CR or LF in a value would begin a new header (RFC 5322 §2.2), such as a Bcc of a stranger.

/** Throws on anything that could end a header line, hide in it, or name more than one recipient. */
export function safeRecipient(address: string): string {
  if (!/^[^\s@<>(),;:"\\]{1,64}@[^\s@<>(),;:"\\]{1,253}$/u.test(address) || /\p{C}/u.test(address)) {
    throw new Error('The recipient is not one plain e-mail address');
  }
  return address;
}

/** A subject of one line: control characters become spaces. */
export function safeSubject(subject: string): string {
  return subject
    .replaceAll(/[\p{C}\u2028\u2029]+/gu, ' ')
    .trim()
    .slice(0, 200);
}
