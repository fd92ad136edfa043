export interface ServerEvent {
  type: string;
  /** The last id the stream gave, also when this event had none: what Last-Event-ID must carry. */
  id: string | null;
  data: string;
}

/** Pieces of a text/event-stream in, whole events out (WHATWG HTML §9.2.6). Comments are dropped: they only prove life. */
export function createSseParser(onEvent: (event: ServerEvent) => void): (chunk: string) => void {
  let rest = '';
  let type = '';
  let id: string | null = null;
  let data: string[] = [];

  function line(text: string): void {
    if (text === '') {
      if (data.length > 0) {
        onEvent({ type: type === '' ? 'message' : type, id, data: data.join('\n') });
      }
      type = '';
      data = [];
      return;
    }
    const colon = text.indexOf(':');
    const field = colon === -1 ? text : text.slice(0, colon);
    const value = colon === -1 ? '' : text.slice(colon + 1).replace(/^ /, '');
    if (field === 'data') {
      data.push(value);
    } else if (field === 'event') {
      type = value;
    } else if (field === 'id' && !value.includes('\0')) {
      id = value;
    }
  }

  return (chunk) => {
    rest += chunk;
    for (;;) {
      const match = /\r\n|\n|\r(?!$)/.exec(rest);
      if (match === null) {
        return;
      }
      const text = rest.slice(0, match.index);
      rest = rest.slice(match.index + match[0].length);
      line(text);
    }
  };
}
