import { get } from 'node:http';
import { z } from 'zod';
import { DomainError } from '#libs/contracts';
import { servedMiddlewareSchema, servedRouterSchema, servedServiceSchema, type Served } from './domain/proxy-truth.js';

const PER_PAGE = 500;
/** 2 MB are some thousand routers of a page; more is not what this asks. */
const LARGEST_BYTES = 16 * 1024 * 1024;

/**
 * What Traefik says it serves, all pages of it. It answers on loopback only. Throws UNAVAILABLE when it does not answer
 * with a 200, and another error when what it answers is not what this version knows.
 */
export async function readServed(port: number, signal: AbortSignal): Promise<Served> {
  return {
    routers: await pages(port, 'routers', servedRouterSchema, signal),
    services: await pages(port, 'services', servedServiceSchema, signal),
    middlewares: await pages(port, 'middlewares', servedMiddlewareSchema, signal),
  };
}

async function pages<T>(port: number, part: keyof Served, item: z.ZodType<T>, signal: AbortSignal): Promise<T[]> {
  const found: T[] = [];
  for (let page = 1; ;) {
    const { body, next } = await ask(port, `/api/http/${part}?per_page=${PER_PAGE}&page=${page}`, signal);
    found.push(...z.array(item).parse(JSON.parse(body)));
    // The last page names the first as its next.
    if (next <= page) {
      return found;
    }
    page = next;
  }
}

async function ask(port: number, path: string, signal: AbortSignal): Promise<{ body: string; next: number }> {
  try {
    return await answer(port, path, signal);
  } catch (cause) {
    throw new DomainError('UNAVAILABLE', {
      message: `The proxy does not say what it serves: ${cause instanceof Error ? cause.message : String(cause)}.`,
      cause,
    });
  }
}

function answer(port: number, path: string, signal: AbortSignal): Promise<{ body: string; next: number }> {
  return new Promise((resolve, reject) => {
    const request = get({ host: '127.0.0.1', port, path, signal, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (text: string) => {
        body += text;
        if (body.length > LARGEST_BYTES) {
          request.destroy(new Error('its answer is too large'));
        }
      });
      response.once('error', reject);
      response.once('end', () => {
        if (response.statusCode === 200) {
          resolve({ body, next: Number(response.headers['x-next-page'] ?? 1) });
        } else {
          reject(new Error(`${path} answered ${response.statusCode ?? 0}`));
        }
      });
    });
    request.once('error', reject);
  });
}
