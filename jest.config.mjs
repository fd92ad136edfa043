// Sources are ESM; tests run as CommonJS (swc), and packages that exist only as ESM load through require(esm),
// which needs Node >= 24.9 and --experimental-vm-modules (set by the npm scripts).
const base = {
  testEnvironment: 'node',
  transform: {
    '^.+\\.tsx?$': [
      '@swc/jest',
      {
        sourceMaps: 'inline',
        module: { type: 'commonjs' },
        jsc: {
          target: 'es2023',
          keepClassNames: true,
          parser: { syntax: 'typescript', tsx: true, decorators: true },
          transform: { legacyDecorator: true, decoratorMetadata: true, react: { runtime: 'automatic' } },
        },
      },
    ],
  },
  moduleNameMapper: {
    '^#libs/([^/]+)$': '<rootDir>/libs/$1/src/index.ts',
    '^(\\.{1,2}/.*)\\.js$': '$1',
  },
};
const project = (name, roots, extra = {}) => ({
  ...base,
  displayName: name,
  rootDir: import.meta.dirname,
  roots,
  ...extra,
});
export default {
  // What hangs fails by it; a loaded machine is slow. Of a single project jest takes no such word.
  testTimeout: 30_000,
  projects: [
    project('unit', ['<rootDir>/apps', '<rootDir>/libs', '<rootDir>/test/support'], { testRegex: '\\.spec\\.tsx?$' }),
    project('int', ['<rootDir>/test/int'], {
      testRegex: '\\.spec\\.ts$',
      globalSetup: '<rootDir>/test/support/postgres-global.mjs',
      globalTeardown: '<rootDir>/test/support/postgres-global-stop.mjs',
    }),
    project('e2e', ['<rootDir>/test/e2e'], { testRegex: '\\.spec\\.ts$' }),
  ],
};
