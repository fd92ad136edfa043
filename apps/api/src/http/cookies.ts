import { parseCookie, stringifySetCookie } from 'cookie';
import type { Request, Response } from 'express';

/** __Host- cookies: Secure, host-only, path / (RFC 6265bis §4.1.3.2). Strict: only the portal's own pages send them. */
const HOST_ONLY = { httpOnly: true, secure: true, sameSite: 'strict', path: '/' } as const;

export function readCookie(request: Pick<Request, 'headers'>, name: string): string | undefined {
  return parseCookie(request.headers.cookie ?? '')[name];
}

export function setCookie(response: Response, name: string, value: string, maxAgeSeconds: number): void {
  response.append('Set-Cookie', stringifySetCookie({ name, value, maxAge: maxAgeSeconds, ...HOST_ONLY }));
}

export function clearCookie(response: Response, name: string): void {
  setCookie(response, name, '', 0);
}
