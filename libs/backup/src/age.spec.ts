import { randomBytes } from 'node:crypto';
import { ReadableStream } from 'node:stream/web';
import { Decrypter } from 'age-encryption';
import { passphraseRecipient, sealed } from './age.js';

const PASSPHRASE = 'über sieben Brücken musst du gehn';
/** Cheap; what a try costs is no matter here. */
const LOG_N = 10;

async function bytesOf(stream: ReadableStream<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) {
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

const seal = async (clear: Buffer): Promise<Buffer> =>
  bytesOf(
    (await sealed(
      ReadableStream.from([clear]) as ReadableStream<Uint8Array>,
      passphraseRecipient(PASSPHRASE, LOG_N),
    )) as ReadableStream<Uint8Array>,
  );

async function opened(bytes: Buffer, passphrase = PASSPHRASE): Promise<Buffer> {
  const decrypter = new Decrypter();
  decrypter.addPassphrase(passphrase);
  return Buffer.from(await decrypter.decrypt(bytes));
}

it.each([0, 1, 65_535, 65_536, 65_537, 200_000])('what is sealed opens again: %i bytes', async (length) => {
  const clear = randomBytes(length);
  expect((await opened(await seal(clear))).equals(clear)).toBe(true);
});

it('says before the first byte how many it will be', async () => {
  for (const length of [0, 1, 65_536, 200_000]) {
    const stream = await sealed(
      ReadableStream.from([Buffer.alloc(length)]) as ReadableStream<Uint8Array>,
      passphraseRecipient(PASSPHRASE, LOG_N),
    );
    const size = stream.size(length);
    expect((await bytesOf(stream as ReadableStream<Uint8Array>)).length).toBe(size);
  }
});

it('opens to no other passphrase', async () => {
  await expect(opened(await seal(Buffer.from('mine')), `${PASSPHRASE} `)).rejects.toThrow();
});

it('does not open where it was cut anywhere, between two pieces too, or a bit of it is another', async () => {
  const clear = randomBytes(200_000);
  const bytes = await seal(clear);
  const pieces = [1, 2, 3].map((count) => bytes.length - clear.length - 4 * 16 + count * (65_536 + 16));
  for (const cut of [bytes.length - 1, bytes.length - 16, ...pieces]) {
    await expect(opened(bytes.subarray(0, cut))).rejects.toThrow();
  }
  const flipped = Buffer.from(bytes);
  flipped[bytes.length - 100]! ^= 1;
  await expect(opened(flipped)).rejects.toThrow();
});

it('has no end that opens where its source failed', async () => {
  const broken = new Error('a damaged pack');
  const stream = await sealed(
    ReadableStream.from(
      (async function* () {
        yield randomBytes(100_000);
        await Promise.resolve();
        throw broken;
      })(),
    ) as ReadableStream<Uint8Array>,
    passphraseRecipient(PASSPHRASE, LOG_N),
  );
  const chunks: Uint8Array[] = [];
  const reading = (async (): Promise<void> => {
    for await (const chunk of stream as ReadableStream<Uint8Array>) {
      chunks.push(chunk);
    }
  })();
  await expect(reading).rejects.toBe(broken);
  await expect(opened(Buffer.concat(chunks))).rejects.toThrow();
});
