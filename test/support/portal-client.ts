import { randomUUID } from 'node:crypto';
import { Agent, request } from 'node:https';
import type { IncomingHttpHeaders } from 'node:http';
import { waitFor } from '#libs/async';
import {
  type Access,
  type Accepted,
  type Disclaimer,
  GATE_PATH,
  type OperationView,
  type OutboxMail,
  type StackView,
} from '#libs/contracts';

export interface PortalPlace {
  portalDomain: string;
  tenantDomain: string;
  httpsPort: number;
  /** Where the proxy listens; names of hosts need not resolve. */
  address: string;
  /** PEM of the authority to trust. */
  ca: string;
}

export interface Answer<T = unknown> {
  status: number;
  headers: IncomingHttpHeaders;
  bytes: Buffer;
  text: string;
  body: T;
}

export interface Ask {
  method?: string;
  /** Sent as JSON, or as a form does. */
  body?: unknown;
  headers?: Record<string, string>;
  /** Follow redirects as a browser does, at most ten. */
  follow?: boolean;
}

const ANSWER_MS = 30_000;

/** A person's browser without its pages: one cookie jar, one access token, TLS through the proxy like anybody. */
export class PortalClient {
  readonly jar = new Map<string, Map<string, string>>();
  accessToken: string | null = null;
  private renewal: Promise<boolean> | null = null;
  private readonly agent: Agent;

  constructor(readonly place: PortalPlace) {
    this.agent = new Agent({ keepAlive: true, maxSockets: 64, ca: place.ca });
  }

  close(): void {
    this.agent.destroy();
  }

  async ask<T>(host: string, path: string, options: Ask = {}): Promise<Answer<T>> {
    let answer = await this.once<T>(host, path, options);
    let url = new URL(path, `https://${host}:${this.place.httpsPort}`);
    for (
      let hop = 0;
      options.follow === true && hop < 10 && [301, 302, 303, 307, 308].includes(answer.status);
      hop += 1
    ) {
      url = new URL(answer.headers.location ?? '', url);
      answer = await this.once<T>(url.hostname, `${url.pathname}${url.search}`, {});
    }
    return answer;
  }

  /**
   * The portal's API as the signed-in person; throws with the error's body when it is refused. An access token that
   * ran out is renewed by the refresh cookie, as the portal's page does it.
   */
  async api<T>(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<T> {
    const token = this.accessToken;
    let answer = await this.called<T>(method, path, body, headers);
    if (answer.status === 401 && token !== null && (await this.renewed(token))) {
      answer = await this.called<T>(method, path, body, headers);
    }
    if (answer.status >= 400) {
      throw new Error(`${method} ${path} answered ${answer.status}: ${answer.text}`);
    }
    return answer.body;
  }

  private called<T>(method: string, path: string, body: unknown, headers: Record<string, string>): Promise<Answer<T>> {
    return this.ask<T>(this.place.portalDomain, `/api/v1${path}`, {
      method,
      body,
      headers: { ...(this.accessToken === null ? {} : { authorization: `Bearer ${this.accessToken}` }), ...headers },
    });
  }

  /** One renewal at a time: a second one with the same cookie is a replay. False when the session is over. */
  private renewed(token: string): Promise<boolean> {
    this.renewal ??= (async () => {
      try {
        if (this.accessToken !== token) {
          return true;
        }
        const { status, body } = await this.ask<Access>(this.place.portalDomain, '/api/v1/auth/refresh', {
          method: 'POST',
        });
        if (status === 200) {
          this.accessToken = body.accessToken;
        }
        return status === 200;
      } finally {
        this.renewal = null;
      }
    })();
    return this.renewal;
  }

  async login(identifier: string, password: string): Promise<Access> {
    const access = await this.api<Access>('POST', '/auth/login', { identifier, password });
    this.accessToken = access.accessToken;
    return access;
  }

  /** Registers, reads the mail in the operator's outbox, opens its link's token, and signs in. */
  async signUp(operator: PortalClient, username: string, password: string): Promise<Access> {
    const email = `${username}@example.org`;
    const { version } = await this.api<Disclaimer>('GET', '/auth/disclaimer');
    await this.api('POST', '/auth/register', { email, username, password, disclaimerVersion: version });
    const token = await operator.mailedToken(email);
    await this.api('POST', '/auth/verify', { token });
    return this.login(email, password);
  }

  /** The token of the newest verification mail to an address, read as an operator. */
  async mailedToken(email: string): Promise<string> {
    return waitFor(
      async () => {
        const { items } = await this.api<{ items: OutboxMail[] }>('GET', '/operator/outbox');
        return /[?&#]token=([A-Za-z0-9_-]{43})/.exec(items.find(({ to }) => to === email)?.text ?? '')?.[1];
      },
      { what: `the mail to ${email}`, deadlineMs: 10_000 },
    );
  }

  createStack(): Promise<Accepted> {
    return this.api<Accepted>('POST', '/stacks', {}, { 'idempotency-key': randomUUID() });
  }

  stack(slug: string): Promise<StackView> {
    return this.api<StackView>('GET', `/stacks/${slug}`);
  }

  /** Asks for it and waits until it is over, well or not. */
  async order(slug: string, kind: 'start' | 'stop' | 'restart'): Promise<OperationView> {
    const { operation } = await this.api<Accepted>('POST', `/stacks/${slug}/${kind}`, undefined, {
      'idempotency-key': randomUUID(),
    });
    return this.operationOver(operation.id);
  }

  async destroy(slug: string): Promise<OperationView> {
    const { operation } = await this.api<Accepted>('DELETE', `/stacks/${slug}`, { confirm: slug });
    return this.operationEnd(operation.id);
  }

  /** Waits until it is over, well or not. */
  operationOver(id: string): Promise<OperationView> {
    return waitFor(
      async () => {
        const seen = await this.api<OperationView>('GET', `/operations/${id}`);
        return ['queued', 'running'].includes(seen.state) ? undefined : seen;
      },
      { what: `the end of operation ${id}`, deadlineMs: 300_000 },
    );
  }

  /** Waits for the end and throws unless it is `done`. */
  async operationEnd(id: string): Promise<OperationView> {
    const view = await this.operationOver(id);
    if (view.state !== 'done') {
      throw new Error(`operation ${view.kind} of ${view.slug} ended ${view.state}: ${JSON.stringify(view.error)}`);
    }
    return view;
  }

  dashboardHost(slug: string): string {
    return `${slug}.${this.place.tenantDomain}`;
  }

  apiHost(slug: string): string {
    return `api-${slug}.${this.place.tenantDomain}`;
  }

  /** What the browser does behind "Open dashboard": afterwards the jar holds the gate's cookie. */
  async signOn(slug: string, next = '/'): Promise<void> {
    const host = this.dashboardHost(slug);
    const start = await waitFor(
      async () => {
        const answer = await this.ask(host, `${GATE_PATH}/start?next=${encodeURIComponent(next)}`);
        return answer.status === 302 ? answer : undefined;
      },
      { what: `the gate answering for ${slug}`, deadlineMs: 10_000 },
    );
    const page = new URL(start.headers.location ?? '');
    const { redirect } = await this.api<{ redirect: string }>('POST', '/sign-on', {
      stack: page.searchParams.get('stack'),
      state: page.searchParams.get('state'),
      next: page.searchParams.get('next') ?? '/',
    });
    const callback = new URL(redirect);
    const done = await this.ask(callback.hostname, `${callback.pathname}${callback.search}`);
    if (done.status !== 303) {
      throw new Error(`the gate's callback answered ${done.status}: ${done.text}`);
    }
  }

  private once<T>(host: string, path: string, { method = 'GET', body, headers = {} }: Ask): Promise<Answer<T>> {
    const { address, httpsPort } = this.place;
    const cookies = [...(this.jar.get(host) ?? [])].map(([name, value]) => `${name}=${value}`).join('; ');
    const isForm = body instanceof URLSearchParams;
    const payload = body === undefined ? undefined : isForm ? body.toString() : JSON.stringify(body);
    const origin = httpsPort === 443 ? `https://${host}` : `https://${host}:${httpsPort}`;
    return new Promise((resolve, reject) => {
      const outgoing = request(
        {
          host: address,
          port: httpsPort,
          servername: host,
          path,
          method,
          agent: this.agent,
          signal: AbortSignal.timeout(ANSWER_MS),
          headers: {
            host: httpsPort === 443 ? host : `${host}:${httpsPort}`,
            accept: 'application/json, text/html;q=0.9',
            ...(method === 'GET' ? {} : { origin }),
            ...(payload === undefined
              ? {}
              : {
                  'content-type': isForm ? 'application/x-www-form-urlencoded' : 'application/json',
                  'content-length': String(Buffer.byteLength(payload)),
                }),
            ...(cookies === '' ? {} : { cookie: cookies }),
            ...headers,
          },
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () => {
            this.keep(host, response.headers['set-cookie'] ?? []);
            const bytes = Buffer.concat(chunks);
            const text = bytes.toString('utf8');
            const json = (response.headers['content-type'] ?? '').includes('json');
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              bytes,
              text,
              body: (json && text !== '' ? JSON.parse(text) : undefined) as T,
            });
          });
        },
      );
      outgoing.on('error', reject);
      outgoing.end(payload);
    });
  }

  private keep(host: string, cookies: readonly string[]): void {
    const jar = this.jar.get(host) ?? new Map<string, string>();
    for (const cookie of cookies) {
      const [pair = '', ...attributes] = cookie.split(';');
      const [name = '', ...value] = pair.split('=');
      if (attributes.some((attribute) => /^\s*max-age=0$/i.test(attribute))) {
        jar.delete(name.trim());
      } else {
        jar.set(name.trim(), value.join('='));
      }
    }
    this.jar.set(host, jar);
  }
}
