import { pack } from 'tar-stream';
import type { FileEntry } from '../port.js';

/** A tar of files in memory, each group below a folder that is there already (`''`: where the tar is unpacked). */
export async function tarOf(groups: readonly { below: string; files: readonly FileEntry[] }[]): Promise<Buffer> {
  const tar = pack();
  const made = new Set<string>();
  for (const { below, files } of groups) {
    const prefix = below === '' ? '' : `${below}/`;
    for (const { path, content, mode, uid, gid } of files) {
      for (const folder of foldersOf(path)) {
        const name = `${prefix}${folder}/`;
        // the engine would make a folder without an entry with mode 0600, through which nobody but root can walk
        if (!made.has(name)) {
          made.add(name);
          tar.entry({ name, type: 'directory', mode: 0o750, uid, gid });
        }
      }
      tar.entry({ name: `${prefix}${path}`, mode, uid, gid }, Buffer.from(content as string));
    }
  }
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) {
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks);
}

function foldersOf(path: string): string[] {
  const parts = path.split('/').slice(0, -1);
  return parts.map((_, index) => parts.slice(0, index + 1).join('/'));
}
