import { existsSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname ?? __dirname, '..', '..');
/** Where scripts/test has put programs in few files, made of what it just built. */
const BUNDLES = process.env['AVIARY_TEST_PROGRAMS'] ?? '';

/** What Node is to be called with to run this file of the sources, `apps/cli/src/main.ts` for one, in a process of its own. */
export function program(source: string): [string, ...string[]] {
  const bundle = join(BUNDLES, source.replace(/\.ts$/, '.js'));
  const [prepared, file] =
    BUNDLES !== '' && existsSync(bundle) ? ['compile-cache.mjs', bundle] : ['ts-loader.mjs', join(ROOT, source)];
  return ['--import', join(ROOT, 'scripts/dev', prepared), file];
}
