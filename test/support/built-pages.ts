import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');

export interface BuiltPages {
  folder: string;
  /** Removes them, unless a whole run shares them. */
  remove(): void;
}

/** An app's pages as they are in production: those `scripts/test` made for all its tests, else made now. */
export async function builtPages(app: 'web' | 'dashboard'): Promise<BuiltPages> {
  const shared = process.env['AVIARY_TEST_PAGES'];
  if (shared !== undefined) {
    return { folder: join(shared, app), remove: () => undefined };
  }
  const folder = mkdtempSync(join(tmpdir(), `aviary-${app}-`));
  const vite = join(ROOT, 'node_modules/vite/bin/vite.js');
  const child = spawn(process.execPath, [vite, 'build', `apps/${app}`, '--outDir', folder, '--logLevel', 'error'], {
    cwd: ROOT,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) {
    throw new Error(`the pages of apps/${app} do not build (exit ${String(code)})`);
  }
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}
