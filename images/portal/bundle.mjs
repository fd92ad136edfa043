// Each program of the image with all it is made of, in a few files instead of thousands in node_modules: the command
// line answers in half the time, and the image has nothing that is not run. One after the other: in chunks that they
// share, what one imports can be another's beginning.
import { rolldown } from 'rolldown';

const PROGRAMS = [
  ...['agent', 'api', 'cli', 'gate', 'worker'].map((name) => `apps/${name}/src/main`),
  ...['ask-health', 'check-keys', 'doctor', 'down', 'own-stores', 'recover', 'up', 'upgrade'].map(
    (name) => `apps/agent/src/host/${name}`,
  ),
];
const OUTSIDE = [
  // In the image as packages: what they read is beside them, a compiled part and pages.
  'bcrypt',
  /^swagger-ui-dist/,
  // Asked for by packages that go without.
  'pg-native',
  'cpu-features',
  /\.node$/,
  'class-transformer',
  'class-validator',
  /^@nestjs\/(microservices|websockets)/,
  '@fastify/static',
];

// A program with one character beyond Latin-1 in it is kept in memory in two bytes for each of its millions.
const inAscii = {
  name: 'in-ascii',
  generateBundle(_options, files) {
    for (const file of Object.values(files)) {
      if (file.type === 'chunk') {
        file.code = file.code.replaceAll(/[^\0-\x7f]/g, escaped);
      }
    }
  },
};
const escaped = (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** Makes `<to>/<name>.js` of the program at `from`. */
export async function bundleProgram({ name, from, to, plugins = [] }) {
  const bundle = await rolldown({
    input: { [name]: from },
    platform: 'node',
    external: OUTSIDE,
    plugins: [...plugins, inAscii],
    onLog(level, log, report) {
      // In the image nothing would be found there.
      report(log.code === 'UNRESOLVED_IMPORT' ? 'error' : level, log);
    },
    checks: { ineffectiveDynamicImport: false },
  });
  await bundle.write({
    dir: to,
    format: 'esm',
    entryFileNames: '[name].js',
    chunkFileNames: `${name}-[name]-[hash].js`,
    // Nest and TypeORM know classes by their names.
    keepNames: true,
    // Packages that are no ES modules name them, and Node gives them to no ES module.
    banner: 'const __filename = import.meta.filename, __dirname = import.meta.dirname;',
  });
  await bundle.close();
}

if (import.meta.main) {
  for (const name of PROGRAMS) {
    await bundleProgram({ name, from: `dist/${name}.js`, to: 'dist/portal' });
  }
}
