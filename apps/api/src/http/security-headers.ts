import type { RequestHandler } from 'express';
import helmet from 'helmet';

/**
 * `style-src 'unsafe-inline'`: the component library writes its theme into style elements. Scripts never run inline.
 * The API document's page works under the same policy: its scripts are files of our own.
 */
const pages = helmet({
  contentSecurityPolicy: {
    useDefaults: false,
    directives: {
      defaultSrc: ["'none'"],
      scriptSrc: ["'self'"],
      styleSrc: ["'self'", "'unsafe-inline'"],
      imgSrc: ["'self'", 'data:'],
      fontSrc: ["'self'", 'data:'],
      connectSrc: ["'self'"],
      manifestSrc: ["'self'"],
      workerSrc: ["'self'"],
      formAction: ["'self'"],
      baseUri: ["'none'"],
      objectSrc: ["'none'"],
      frameAncestors: ["'none'"],
    },
  },
  // A year, as the preload list asks; without subdomains, since tenants live below the portal's domain by default
  // and are answered by the same proxy with its own header.
  strictTransportSecurity: { maxAge: 31_536_000, includeSubDomains: false },
  frameguard: { action: 'deny' },
  referrerPolicy: { policy: 'no-referrer' },
  crossOriginOpenerPolicy: { policy: 'same-origin' },
  crossOriginResourcePolicy: { policy: 'same-origin' },
});

const api = helmet({
  contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
  strictTransportSecurity: { maxAge: 31_536_000, includeSubDomains: false },
  frameguard: { action: 'deny' },
  referrerPolicy: { policy: 'no-referrer' },
});

const PERMISSIONS = 'camera=(), microphone=(), geolocation=(), payment=(), usb=(), browsing-topics=()';

export function securityHeaders(): RequestHandler {
  return (request, response, next) => {
    response.setHeader('Permissions-Policy', PERMISSIONS);
    if (/^\/(api|internal)\//.test(request.path)) {
      // Answers hold personal data; no cache on the way may keep them.
      response.setHeader('Cache-Control', 'no-store');
      api(request, response, next);
    } else {
      pages(request, response, next);
    }
  };
}
