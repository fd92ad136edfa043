import type { Readable } from 'node:stream';

const NEWLINE = 0x0a;

/**
 * The first line of standard input; for secrets, since every process of the machine can read arguments. What follows is
 * not waited for: somebody may hold it open for as long as this runs.
 */
export function firstLineOfStdin(input: Readable = process.stdin): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const end = (): void => {
      input.off('data', onData).off('end', end).off('error', reject).pause();
      resolve(firstLine(Buffer.concat(chunks).toString('utf8')));
    };
    const onData = (chunk: Buffer): void => {
      chunks.push(chunk);
      if (chunk.includes(NEWLINE)) {
        end();
      }
    };
    input.on('data', onData).once('end', end).once('error', reject);
  });
}

/** All of standard input, of which nobody means to send more than `most` characters. Throws RangeError beyond. */
export async function textOfStdin(most: number, input: Readable = process.stdin): Promise<string> {
  let text = '';
  for await (const chunk of input.setEncoding('utf8')) {
    text += String(chunk);
    if (text.length > most) {
      throw new RangeError(`more than ${most} characters`);
    }
  }
  return text;
}

export const firstLine = (text: string): string => text.split(/\r?\n/, 1)[0] ?? '';

/** Runs `work` until its end, or until standard input ends: whoever started it then is there no more, or wants no more. */
export async function whileHeld<T>(
  work: (gone: AbortSignal) => Promise<T>,
  input: Readable = process.stdin,
): Promise<T> {
  const gone = new AbortController();
  const leave = (): void => gone.abort(new Error('standard input ended'));
  input.once('end', leave).once('error', leave).resume();
  if (input.readableEnded || input.destroyed) {
    leave();
  }
  try {
    return await work(gone.signal);
  } finally {
    // A stream that is read keeps the process going.
    input.off('end', leave).off('error', leave).pause();
  }
}
