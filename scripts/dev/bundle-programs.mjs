// Bundles the programs that tests start most, from what was just built: a process then reads a few files instead of a
// thousand. scripts/test does it where it runs int; a test that is run by hand has them from the sources (ts-loader.mjs).
import { isAbsolute, join, relative } from 'node:path';
import { bundleProgram } from '../../images/portal/bundle.mjs';

const root = join(import.meta.dirname, '../..');
const PROGRAMS = [
  'apps/agent/src/main',
  'apps/agent/src/host/recover',
  'apps/cli/src/main',
  'apps/gate/src/main',
  'apps/worker/src/main',
  'test/support/agent-child',
  'test/support/portal-child',
  'test/support/rotation-child',
];

/** Sources of tests are not built: they name each other and what is built as TypeScript does. */
const testSources = {
  name: 'test-sources',
  resolveId(specifier, importer) {
    if (importer === undefined || !specifier.startsWith('.') || !importer.startsWith(join(root, 'test'))) {
      return null;
    }
    const at = relative(root, join(importer, '..', specifier));
    return at.startsWith('test/') ? join(root, at.replace(/\.js$/, '.ts')) : join(root, 'dist', at);
  },
};

const to = process.argv[2] ?? '';
if (!isAbsolute(to)) {
  throw new Error('usage: bundle-programs.mjs FOLDER (below this repository, whose packages it needs)');
}
for (const name of PROGRAMS) {
  const from = name.startsWith('test/') ? join(root, `${name}.ts`) : join(root, 'dist', `${name}.js`);
  await bundleProgram({ name, from, to, plugins: [testSources] });
}
