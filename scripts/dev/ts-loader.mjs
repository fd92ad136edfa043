// Runs a program of the TypeScript sources: `node --import ./scripts/dev/ts-loader.mjs file.ts`, from any directory.
// No test depends on a build that somebody forgot: of each file what the last build made is taken only where that is the
// younger of the two. All else is compiled here, by swc, since Node's own type stripping knows no decorators; types are
// not checked. Tests start hundreds of processes, and one that finds a build and its compile cache starts in half the time.
import { readFileSync, statSync } from 'node:fs';
import { enableCompileCache, registerHooks } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { transformSync } from '@swc/core';

const root = join(import.meta.dirname, '../..');
const tree = pathToFileURL(`${root}/`).href;
const built = `${tree}dist/`;
enableCompileCache(join(root, 'node_modules/.cache/aviary-programs'));

const changedAt = (url) => statSync(fileURLToPath(url), { throwIfNoEntry: false })?.mtimeMs;
const inTree = (url) => url.startsWith(tree) && !url.includes('/node_modules/');

/** The file to run for the source that this URL names, be it as source or as what the build made of it. */
function runnable(url) {
  const source = url.replace(built, tree).replace(/\.js$/, '.ts');
  const sourceAt = changedAt(source);
  if (sourceAt === undefined) {
    return undefined;
  }
  const made = source.replace(tree, built).replace(/\.ts$/, '.js');
  return (changedAt(made) ?? 0) > sourceAt ? made : source;
}

registerHooks({
  resolve(specifier, context, next) {
    const lib = /^#libs\/([^/]+)$/.exec(specifier);
    const parent = context.parentURL;
    const url = lib
      ? `${tree}libs/${lib[1]}/src/index.ts`
      : /^(file:|\.{1,2}\/)/.test(specifier) && URL.parse(specifier, parent)?.href;
    const found = url && inTree(url) && /\.[jt]s$/.test(url) && runnable(url);
    return found ? { url: found, format: 'module', shortCircuit: true } : next(specifier, context);
  },
  load(url, context, next) {
    if (!inTree(url) || !url.endsWith('.ts')) {
      return next(url, context);
    }
    const filename = fileURLToPath(url);
    const { code } = transformSync(readFileSync(filename, 'utf8'), {
      filename,
      sourceMaps: 'inline',
      swcrc: false,
      module: { type: 'es6' },
      jsc: {
        target: 'es2023',
        keepClassNames: true,
        parser: { syntax: 'typescript', decorators: true },
        transform: { legacyDecorator: true, decoratorMetadata: true },
      },
    });
    return { format: 'module', source: code, shortCircuit: true };
  },
});
