import { z } from 'zod';

/**
 * The part of Traefik's dynamic configuration (v3.6, file provider) that this library renders, and nothing beside
 * it: one unknown field in one file freezes the updates of all, so what is written is checked against this first.
 */
const name = z.string().regex(/^[a-z][a-z0-9-]{0,60}$/);
const reference = z.string().regex(/^[a-z][a-z0-9-]{0,60}(@(file|internal))?$/);
const headers = z.record(z.string().regex(/^[A-Za-z][A-Za-z0-9_-]*$/), z.string().max(200));

const routerSchema = z.strictObject({
  /** Only where it is not the one over TLS, which the static configuration makes the default; `traefik` is on loopback. */
  entryPoints: z.tuple([z.enum(['web', 'traefik'])]).optional(),
  rule: z.string().min(1).max(1000),
  priority: z.int().min(1),
  middlewares: z.array(reference).optional(),
  service: reference,
});

const loadBalancerSchema = z.strictObject({
  loadBalancer: z.strictObject({
    servers: z
      .array(z.strictObject({ url: z.string().regex(/^http:\/\/\d{1,3}(\.\d{1,3}){3}:\d{1,5}$/) }))
      .min(1)
      .max(8),
    serversTransport: reference,
    healthCheck: z
      .strictObject({
        path: z.string().regex(/^(\/[a-z]+)+$/),
        /** That of the server itself where left out. */
        port: z.int().min(1).max(65_535).optional(),
        interval: z.string().regex(/^\d+m?s$/),
        timeout: z.string().regex(/^\d+m?s$/),
      })
      .optional(),
  }),
});

const serviceSchema = z.union([
  loadBalancerSchema,
  z.strictObject({ failover: z.strictObject({ service: reference, fallback: reference }) }),
]);

const middlewareSchema = z.union([
  z.strictObject({
    headers: z.strictObject({
      customRequestHeaders: headers.optional(),
      customResponseHeaders: headers.optional(),
      stsSeconds: z.int().min(1).optional(),
    }),
  }),
  z.strictObject({
    forwardAuth: z.strictObject({
      address: z
        .string()
        .regex(/^http:\/\/\d{1,3}(\.\d{1,3}){3}:\d{1,5}\/auth(\?tenant=[0-9a-f-]{36}&slug=u[a-z2-7]{6})?$/),
      authRequestHeaders: z.array(z.string()).min(1),
      authResponseHeaders: z.array(z.string()).min(1),
      maxResponseBodySize: z.int(),
      trustForwardHeader: z.literal(false),
    }),
  }),
  z.strictObject({
    retry: z.strictObject({ attempts: z.int().min(1).max(10), initialInterval: z.string().regex(/^\d+m?s$/) }),
  }),
  z.strictObject({
    errors: z.strictObject({
      status: z.array(z.enum(['502', '504'])).min(1),
      service: reference,
      query: z.literal('/away'),
    }),
  }),
]);

/** What stands once in the shared file and every stack's file may name. */
export const SHARED = { gate: 'gate@file', signOn: 'sign-on@file', away: 'away@file', again: 'again@file' } as const;

const certificateSchema = z.strictObject({ certFile: z.string(), keyFile: z.string() });

export const dynamicFileSchema = z.strictObject({
  http: z.strictObject({
    routers: z.record(name, routerSchema),
    services: z.record(name, serviceSchema).optional(),
    middlewares: z.record(name, middlewareSchema).optional(),
    serversTransports: z
      .record(name, z.strictObject({ forwardingTimeouts: z.strictObject({ dialTimeout: z.string() }) }))
      .optional(),
  }),
  tls: z
    .strictObject({
      certificates: z.array(certificateSchema),
      stores: z.strictObject({ default: z.strictObject({ defaultCertificate: certificateSchema }) }).optional(),
      options: z.strictObject({ default: z.strictObject({ minVersion: z.literal('VersionTLS12') }) }).optional(),
    })
    .optional(),
});

export type DynamicFile = z.infer<typeof dynamicFileSchema>;
export type Router = z.infer<typeof routerSchema>;
export type Middleware = z.infer<typeof middlewareSchema>;
export type Service = z.infer<typeof serviceSchema>;
export type LoadBalancer = z.infer<typeof loadBalancerSchema>;

/** A file of the route folder: its name there and its whole content. */
export interface RouteFile {
  name: string;
  content: string;
}
