import react from '@vitejs/plugin-react';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';
import { precompress } from '../../libs/ui/precompress.mjs';

const root = import.meta.dirname;
const repository = fileURLToPath(new URL('../..', import.meta.url));

export default defineConfig({
  root,
  publicDir: `${repository}libs/ui/public`,
  plugins: [react(), precompress()],
  resolve: {
    // the same alias as package.json's "imports", but to the sources
    alias: [{ find: /^#libs\/([a-z-]+)$/, replacement: `${repository}libs/$1/src/index.ts` }],
  },
  build: {
    outDir: `${repository}dist/apps/web`,
    emptyOutDir: true,
    target: 'es2023',
    sourcemap: false,
    // the pages' policy allows scripts from this address only, never inline
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
  },
  server: { host: '127.0.0.1' },
});
