import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from '#libs/async';
import { GATE_COOKIE } from '#libs/contracts';
import { ApiCounterpart, ask, GateProcess, type Reply } from './gate-process.js';

export const TENANT = '0193a1f0-0000-7000-8000-000000000001';
export const OTHER_TENANT = '0193a1f0-0000-7000-8000-000000000002';
export const SLUG = 'uabc234';
export const HOST = `${SLUG}.stacks.test`;
export const sid = (digit: number): string => `0193a1f0-0000-7000-8000-${String(digit).padStart(12, '0')}`;
export const held = (token: string): string => `${GATE_COOKIE}=${token}`;

/** The real gate beside an api whose answers a test chooses, for all tests of a file. */
export function gateWorld() {
  const api = new ApiCounterpart();
  let state: string;
  let gate: GateProcess;

  /** Traefik's question for a request of a browser. */
  const authorise = (
    cookie: string | null,
    options: {
      tenant?: string;
      host?: string;
      uri?: string;
      method?: string;
      accept?: string;
      extra?: Record<string, string>;
    } = {},
  ): Promise<Reply> =>
    // By an owner's domain the route says whose it is; at the stack's own host, the host does.
    ask(gate.port, options.tenant === undefined ? '/auth' : `/auth?tenant=${options.tenant}&slug=${SLUG}`, {
      headers: {
        'x-forwarded-host': options.host ?? HOST,
        'x-forwarded-uri': options.uri ?? '/',
        'x-forwarded-method': options.method ?? 'GET',
        accept: options.accept ?? 'text/html,application/xhtml+xml',
        ...(cookie === null ? {} : { cookie }),
        ...options.extra,
      },
    });
  /** A request by the route of the gate's own path, or by one of a stack that the gate answers for. */
  const visit = (path: string, options: Parameters<typeof ask>[2] = {}): Promise<Reply> =>
    ask(gate.port, path, {
      ...options,
      headers: {
        host: HOST,
        accept: 'text/html',
        ...(options.headers?.['x-aviary-page'] === undefined
          ? { 'x-aviary-page': 'gate' }
          : { 'x-aviary-tenant': TENANT }),
        ...options.headers,
      },
    });

  beforeAll(async () => {
    state = await mkdtemp(join(tmpdir(), 'aviary-gate-'));
    await api.start();
    gate = new GateProcess({ apiPort: api.port, stateDirectory: state, tenantDomain: 'stacks.test' });
    await gate.start();
    await waitFor(() => (api.polls > 0 ? true : undefined), { what: 'the first list', deadlineMs: 5000 });
  });
  afterAll(async () => {
    await gate.stop('SIGKILL');
    await api.stop();
    await rm(state, { recursive: true, force: true });
  });

  /** Last of a file: what all of its tests had logged. */
  const logsWithoutTokens = (): void => {
    it('logs one JSON object a line, without tokens', async () => {
      // Only what has ended has said everything.
      expect(await gate.stop()).toBe(0);
      const lines = gate.log.trim().split('\n');
      for (const line of lines) {
        expect(JSON.parse(line)).toMatchObject({ service: 'gate', msg: expect.any(String) as string });
      }
      expect(gate.log).not.toMatch(/eyJ[A-Za-z0-9_-]{20}/);
    });
  };

  return {
    api,
    authorise,
    visit,
    logsWithoutTokens,
    get gate() {
      return gate;
    },
    /** The folder it keeps things in. */
    get state() {
      return state;
    },
  };
}
