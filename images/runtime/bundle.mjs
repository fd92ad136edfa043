// One file instead of hundreds of packages: fewer reads, less compiled code, and nothing in the image that is not run.
import { rolldown } from 'rolldown';

const bundle = await rolldown({
  input: 'dist/apps/runtime/src/main.js',
  platform: 'node',
  // pg asks for it only when told to use it
  external: ['pg-native'],
});
await bundle.write({ dir: 'dist/runtime', format: 'esm', entryFileNames: 'main.js', sourcemap: true, inlineDynamicImports: false });
await bundle.close();
