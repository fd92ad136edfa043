import { extract, pack } from 'tar-stream';
import type { FileEntry } from '../port.js';

/** Files are keys and settings of some kilobytes; a folder beyond this is not what was delivered. */
const LARGEST_BYTES = 1024 * 1024;

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

/** The files of a tar whose entries begin with `./`. Throws when they are larger than anything delivered. */
export async function filesOf(tar: NodeJS.ReadableStream): Promise<FileEntry[]> {
  const unpacked = extract();
  tar.on('error', (error) => unpacked.destroy(error));
  tar.pipe(unpacked);
  const files: FileEntry[] = [];
  let size = 0;
  for await (const entry of unpacked) {
    const { name, type, mode, uid, gid } = entry.header;
    const chunks: Buffer[] = [];
    for await (const chunk of entry) {
      size += (chunk as Buffer).length;
      if (size > LARGEST_BYTES) {
        throw new Error('more than was ever delivered lies there');
      }
      chunks.push(chunk as Buffer);
    }
    const path = name.replace(/^\.?\/+/, '');
    if (type === 'file' && path !== '') {
      files.push({ path, content: Buffer.concat(chunks), mode: mode & 0o7777, uid, gid });
    }
  }
  return files;
}

function foldersOf(path: string): string[] {
  const parts = path.split('/').slice(0, -1);
  return parts.map((_, index) => parts.slice(0, index + 1).join('/'));
}
