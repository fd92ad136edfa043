// One file instead of hundreds of packages: fewer reads, less compiled code, and nothing in the image that is not run.
import { rolldown } from 'rolldown';

const bundle = await rolldown({
  input: 'dist/apps/runtime/src/main.js',
  platform: 'node',
  // pg asks for it only when told to use it
  external: ['pg-native'],
});
// CommonJS: an ES module that imports node:http makes Node load undici and http2 as well, for 50 ms and 4 MB.
await bundle.write({ dir: 'dist/runtime', format: 'cjs', entryFileNames: 'main.cjs', sourcemap: true });
await bundle.close();
