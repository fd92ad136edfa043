import { pack } from 'tar-stream';
import type { FileEntry } from '../port.js';

/**
 * A tar of the files in memory. Folders on the way get entries of their own: the engine would make them with mode
 * 0600, through which nobody but root can walk.
 */
export async function tarOf(files: readonly FileEntry[]): Promise<Buffer> {
  const tar = pack();
  const made = new Set<string>();
  for (const file of files) {
    for (const folder of foldersOf(file.path)) {
      if (!made.has(folder)) {
        made.add(folder);
        tar.entry({ name: `${folder}/`, type: 'directory', mode: 0o750, uid: file.uid, gid: file.gid });
      }
    }
    tar.entry({ name: file.path, mode: file.mode, uid: file.uid, gid: file.gid }, file.content as string);
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
