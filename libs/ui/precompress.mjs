import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants } from 'node:zlib';

/** Below this a packet is not saved. */
const LEAST_BYTES = 1024;

/**
 * Vite plugin: beside each text file in `assets/` its Brotli form (`.br`), made once and as small as it gets. Servers
 * that find one send it to browsers that take it, so that nobody compresses per request.
 */
export function precompress() {
  let out = '';
  return {
    name: 'aviary-precompress',
    apply: 'build',
    configResolved(config) {
      out = config.build.outDir;
    },
    closeBundle() {
      const assets = join(out, 'assets');
      for (const name of readdirSync(assets).filter((file) => /\.(js|css|svg)$/.test(file))) {
        const content = readFileSync(join(assets, name));
        if (content.length >= LEAST_BYTES) {
          const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: content.length };
          writeFileSync(join(assets, `${name}.br`), brotliCompressSync(content, { params }));
        }
      }
    },
  };
}
