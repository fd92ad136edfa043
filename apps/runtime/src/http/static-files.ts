import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { extname, join, normalize, sep } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { DomainError } from '#libs/contracts';

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.webmanifest': 'application/manifest+json; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
  '.map': 'application/json; charset=utf-8',
  '.txt': 'text/plain; charset=utf-8',
};

/** Styles are inlined by the component library; scripts never are. */
const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; " +
  "connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

async function fileAt(path: string): Promise<{ path: string; size: number; modified: Date } | null> {
  try {
    const found = await stat(path);
    return found.isFile() ? { path, size: found.size, modified: found.mtime } : null;
  } catch {
    // Absent, or a name no file can have: both mean that there is none.
    return null;
  }
}

/** True when an `Accept-Encoding` names Brotli and does not weigh it with nothing. */
export function acceptsBrotli(header: string | undefined): boolean {
  return (header ?? '').split(',').some((part) => /^\s*br\s*(?:;\s*q=(?!0(?:\.0*)?\s*$)|$)/i.test(part));
}

/** The dashboard's files. A path without an extension is one of its pages, which index.html shows. */
export class StaticFiles {
  constructor(private readonly root: string) {}

  /** Sends a file, in the form the build compressed where there is one and the asker takes it. */
  async send(response: ServerResponse, path: string, asked: { head: boolean; brotli: boolean }): Promise<void> {
    const wanted = normalize(join(this.root, path));
    if (wanted !== this.root && !wanted.startsWith(this.root + sep)) {
      throw new DomainError('NOT_FOUND');
    }
    const isPage = extname(path) === '';
    const file = isPage ? await fileAt(join(this.root, 'index.html')) : await fileAt(wanted);
    if (!file) {
      throw new DomainError('NOT_FOUND');
    }
    // Built files carry their hash in the name; everything else is asked for again each time.
    const immutable = path.startsWith('/assets/');
    const small = immutable && asked.brotli ? await fileAt(`${file.path}.br`) : null;
    const sent = small ?? file;
    response.writeHead(200, {
      'content-type': TYPES[extname(file.path)] ?? 'application/octet-stream',
      ...(small ? { 'content-encoding': 'br' } : {}),
      ...(immutable ? { vary: 'accept-encoding' } : {}),
      'content-length': sent.size,
      'last-modified': file.modified.toUTCString(),
      'cache-control': immutable ? 'private, max-age=31536000, immutable' : 'no-cache',
      'content-security-policy': PAGE_POLICY,
    });
    if (asked.head) {
      response.end();
      return;
    }
    await pipeline(createReadStream(sent.path), response);
  }
}
