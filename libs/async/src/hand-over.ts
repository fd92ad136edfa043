import { finished, Writable } from 'node:stream';

/**
 * Gives the memory of a chunk back that nobody reads any more and in which no other chunk lies. Where gigabytes come by,
 * V8 otherwise goes through all that the process holds for each 64 MiB of them, which takes longer than passing them on.
 */
export function release(chunk: Uint8Array): void {
  // Smaller ones may lie in memory that Node shares out.
  if (chunk.length >= Buffer.poolSize / 2 && chunk.buffer instanceof ArrayBuffer) {
    chunk.buffer.transfer(0);
  }
}

interface HandOverOptions {
  /** The chunks' memory is nobody else's: it is given back as soon as they are written. */
  own?: boolean;
  /** Where `to` takes no more, the rest is only read; how that ended, somebody else tells. */
  readsOn?: boolean;
}

/**
 * What is written to it goes to `to`, whose end is left to the caller; each chunk as it came, while an iterator over a
 * stream joins those that wait into new ones. Fails where `to` breaks, also while nothing comes.
 */
export function handOver(to: Writable, { own = false, readsOn = false }: HandOverOptions = {}): Writable {
  const done = (chunk: Uint8Array): void => {
    if (own) {
      release(chunk);
    }
  };
  const hands = new Writable({
    write(chunk: Uint8Array, _encoding, callback) {
      if (readsOn && !to.writable) {
        done(chunk);
        callback();
        return;
      }
      to.write(chunk, (error) => {
        done(chunk);
        callback(readsOn ? null : error);
      });
    },
    destroy(error, callback) {
      unwatch();
      callback(error);
    },
  });
  const unwatch = finished(to, { readable: false }, (error) => {
    if (!readsOn) {
      hands.destroy(error ?? new Error('it takes no more'));
    }
  });
  return hands;
}
