import { DomainError, SLUG_PATTERN } from '#libs/contracts';
import { z } from 'zod';

export function routeInvalid(message: string): DomainError {
  return new DomainError('ROUTE_INVALID', { message: `The route was not published: ${message}.` });
}

/**
 * Every text that comes from outside passes here on its way into a dynamic file. Traefik runs the file through Go
 * templates before it parses it (`{{`), rules quote their values with backticks, and a line break would end a value
 * in any format that is not JSON.
 */
export function plainValue(what: string, value: string): string {
  if (value.includes('{{') || value.includes('}}') || /[\p{C}`"\\\u2028\u2029]/u.test(value) || value === '') {
    throw routeInvalid(`${what} holds a character that a route file must not carry`);
  }
  return value;
}

export function slugValue(slug: string): string {
  if (!SLUG_PATTERN.test(slug)) {
    throw routeInvalid('the stack name is not u and six of a-z, 2-7');
  }
  return slug;
}

const HOST_NAME = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/;

export function hostValue(what: string, host: string): string {
  if (!HOST_NAME.test(host)) {
    throw routeInvalid(`${what} is not a host name in lower case`);
  }
  return host;
}

export function uuidValue(what: string, value: string): string {
  if (!z.uuid().safeParse(value).success) {
    throw routeInvalid(`${what} is not a UUID`);
  }
  return value;
}

/** `http://ip:port`: an address, never a name, so that a route needs no resolver and cannot be led elsewhere. */
export function addressUrl(what: string, address: { host: string; port: number }): string {
  const fine =
    z.ipv4().safeParse(address.host).success &&
    Number.isInteger(address.port) &&
    address.port > 0 &&
    address.port < 65_536;
  if (!fine) {
    throw routeInvalid(`${what} is not an IPv4 address and a port`);
  }
  return `http://${address.host}:${address.port}`;
}

/** The same of a setting such as `http://10.131.255.195:8082`. */
export function serverUrl(what: string, text: string): string {
  const found = /^http:\/\/(\d{1,3}(?:\.\d{1,3}){3}):(\d{1,5})\/?$/.exec(text);
  if (!found) {
    throw routeInvalid(`${what} must be http://address:port`);
  }
  return addressUrl(what, { host: found[1] ?? '', port: Number(found[2]) });
}

/** A path prefix of a public route: plain segments only, so nothing in it needs decoding or normalising. */
export function pathValue(what: string, path: string): string {
  if (!/^(\/[A-Za-z0-9_-]+)+\/?$/.test(path)) {
    throw routeInvalid(`${what} may hold only letters, digits, _, - and /`);
  }
  return path;
}
