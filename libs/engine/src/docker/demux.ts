import { StringDecoder } from 'node:string_decoder';

/**
 * Lines of a finished log in the order they came. The engine frames it `[stream, 0, 0, 0, length as 32-bit big endian]`
 * + payload; a line longer than 16 KiB comes in several frames, and the other stream may write between them.
 */
export function demuxLines(framed: Buffer): string[] {
  const lines: string[] = [];
  const open = new Map<number, { decoder: StringDecoder; text: string }>();
  let offset = 0;
  while (offset + 8 <= framed.length) {
    const stream = framed[offset] ?? 1;
    const end = offset + 8 + framed.readUInt32BE(offset + 4);
    const state = open.get(stream) ?? { decoder: new StringDecoder('utf8'), text: '' };
    open.set(stream, state);
    const parts = (state.text + state.decoder.write(framed.subarray(offset + 8, end))).split('\n');
    state.text = parts.pop() ?? '';
    lines.push(...parts);
    offset = end;
  }
  for (const { decoder, text } of open.values()) {
    const rest = text + decoder.end();
    if (rest !== '') {
      lines.push(rest);
    }
  }
  return lines.map((line) => line.replace(/\r$/, ''));
}
