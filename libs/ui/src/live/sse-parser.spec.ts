import fc from 'fast-check';
import { createSseParser, type ServerEvent } from './sse-parser.js';

function parse(chunks: string[]): ServerEvent[] {
  const events: ServerEvent[] = [];
  const push = createSseParser((event) => events.push(event));
  chunks.forEach((chunk) => push(chunk));
  return events;
}

const STREAM =
  ': hello\n\nid: 7\nevent: stack\ndata: {"a":1}\n\ndata: two\ndata: lines\r\n\r\nid\nevent: end\ndata\n\n';
const EVENTS: ServerEvent[] = [
  { type: 'stack', id: '7', data: '{"a":1}' },
  { type: 'message', id: '7', data: 'two\nlines' },
  { type: 'end', id: '', data: '' },
];

describe('createSseParser', () => {
  it('reads fields, comments, many lines and all line ends', () => {
    expect(parse([STREAM])).toEqual(EVENTS);
  });

  it('does not care where the network cuts', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(STREAM.length), { maxLength: 12 }), (cuts) => {
        const at = [0, ...cuts.sort((a, b) => a - b), STREAM.length];
        const chunks = at.slice(1).map((end, index) => STREAM.slice(at[index], end));
        expect(parse(chunks)).toEqual(EVENTS);
      }),
    );
  });

  it('keeps an unfinished event to itself', () => {
    expect(parse(['data: half'])).toEqual([]);
  });
});
