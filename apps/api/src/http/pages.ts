import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { NextFunction, Request, Response } from 'express';

/** Addresses that are never a page of the single-page application. */
const NOT_PAGES = /^\/(api|internal|docs|docs-json|docs-yaml|healthz|readyz|metrics|assets|\.well-known)(\/|$)/;
/** Vite puts a hash of the content into these names, so they never change. */
const HASHED = /[/\\]assets[/\\][^/\\]+-[A-Za-z0-9_-]{8,}\.[a-z0-9]+$/;

/** The same as an address, nothing to climb out by, with its extension. */
const ASSET = /^\/assets\/[A-Za-z0-9_.-]+-[A-Za-z0-9_-]{8,}\.(js|css|svg)$/;
const IMMUTABLE = 'public, max-age=31536000, immutable';

/** Serves the built web pages: files as they are, and index.html for every other page address. */
export function servePages(app: NestExpressApplication, directory: string): void {
  const root = resolve(directory);
  const index = join(root, 'index.html');
  app.use((request: Request, response: Response, next: NextFunction) => {
    const asset = ASSET.exec(request.path);
    const file = asset ? `${join(root, request.path)}.br` : '';
    if (!asset || (request.method !== 'GET' && request.method !== 'HEAD')) {
      next();
      return;
    }
    response.setHeader('Vary', 'Accept-Encoding');
    if (request.acceptsEncodings('br') !== 'br' || !existsSync(file)) {
      next();
      return;
    }
    // what the build compressed once need not be compressed for everybody
    response.type(asset[1] ?? '');
    response.setHeader('Content-Encoding', 'br');
    response.setHeader('Cache-Control', IMMUTABLE);
    response.sendFile(file, { cacheControl: false }, (error?: Error) => {
      if (error && !response.headersSent) {
        next(error);
      }
    });
  });
  app.useStaticAssets(root, {
    index: false,
    redirect: false,
    dotfiles: 'ignore',
    setHeaders: (response: Response, path: string) => {
      response.setHeader('Cache-Control', HASHED.test(path) ? IMMUTABLE : 'no-cache');
    },
  });
  app.use((request: Request, response: Response, next: NextFunction) => {
    if (!isPage(request) || !existsSync(index)) {
      next();
      return;
    }
    // index.html names the newest hashed files, so a kept copy would point to files that are gone.
    response.setHeader('Cache-Control', 'no-cache');
    response.sendFile(index, { cacheControl: false }, (error?: Error) => {
      if (error && !response.headersSent) {
        next(error);
      }
    });
  });
}

function isPage(request: Request): boolean {
  const last = request.path.split('/').at(-1) ?? '';
  return (
    (request.method === 'GET' || request.method === 'HEAD') &&
    !NOT_PAGES.test(request.path) &&
    !last.includes('.') &&
    request.accepts(['html', 'json']) === 'html'
  );
}
