import { DomainError } from '#libs/contracts';
import { renderTenantRoutes, type RouteFile, type Served } from '#libs/edge';
import { ProxyKeeper } from './proxy-keeper.js';

const NOTHING: Served = { routers: [], services: [], middlewares: [] };
const file = (name: string, routers: object = {}): RouteFile => ({
  name,
  content: JSON.stringify({ http: { routers } }),
});
const WANTED = { 'ubbbbbb-dashboard': { rule: 'Host(`x`)', priority: 1, service: 'x', middlewares: [] } };

it('counts stacks with a route file, and those whose routes are served, at each look', async () => {
  let files = [file('aviary-shared.yml'), file('uaaaaaa.yml'), file('ubbbbbb.yml')];
  let read = (): Promise<Served> => Promise.resolve(NOTHING);
  const at = new Date('2026-03-10T12:00:00.000Z');
  const keeper = new ProxyKeeper({
    folder: { files: () => files, quarantine: () => Promise.resolve([]), touch: () => Promise.resolve() },
    read: () => read(),
    restart: () => Promise.resolve(),
    logger: { warn: () => undefined, error: () => undefined, info: () => undefined },
    waits: { settleMs: 30, followMs: 30, startMs: 30 },
    now: () => at,
  });
  expect(keeper.figures.routes).toBeNull();
  expect(await keeper.turn()).toEqual([]);
  expect(keeper.figures.routes).toEqual({ at, rendered: 2, served: 2 });
  files = [...files.slice(0, 2), file('ubbbbbb.yml', WANTED)];
  expect(await keeper.turn()).toMatchObject([{ code: 'PROXY_MISMATCH' }]);
  expect(keeper.figures).toMatchObject({
    mismatches: 1,
    repairs: { file: 0, restart: 1 },
    routes: { rendered: 2, served: 1 },
  });
  read = () => Promise.reject(new DomainError('UNAVAILABLE'));
  expect(await keeper.turn()).toMatchObject([{ code: 'PROXY_SILENT' }]);
  expect(keeper.figures.routes).toEqual({ at, rendered: 2, served: null });
});

const MINUTE = 60_000;
const BEGIN = Date.parse('2026-11-21T10:00:00Z');
const LETTERS = 'abcdefghij';

function stack(number: number): RouteFile {
  const slug = `u${String(number)
    .padStart(6, '0')
    .replace(/\d/g, (digit) => LETTERS[Number(digit)] ?? '')}`;
  return renderTenantRoutes(
    {
      tenantId: '0b8d9d44-9c5e-4a44-8a39-0a5d6a1f0b11',
      slug,
      serving: 'tenant',
      routes: [{ host: 'api', auth: 'token', address: { host: '10.1.2.3', port: 8080 } }],
    },
    {
      portalDomain: 'aviary.test',
      tenantDomain: 'stacks.test',
      gateUrls: ['http://10.0.0.2:8082'],
      apiUrls: ['http://10.0.0.3:8080'],
      certificateDir: '/certs',
    },
  );
}

/** A keeper that looks each minute at a proxy that serves no stack at all, and answers or does not. */
function proxy() {
  const files: RouteFile[] = [];
  const restarts: number[] = [];
  const served: Served = { routers: [], services: [], middlewares: [] };
  let minute = 0;
  let answers = true;
  const keeper = new ProxyKeeper({
    folder: { files: () => files, quarantine: () => Promise.resolve([]), touch: () => Promise.resolve() },
    read: () => (answers ? Promise.resolve(served) : Promise.reject(new DomainError('UNAVAILABLE'))),
    restart: () => {
      restarts.push(minute);
      return Promise.resolve();
    },
    logger: { warn: () => undefined, error: () => undefined, info: () => undefined },
    now: () => new Date(BEGIN + minute * MINUTE),
    waits: { settleMs: 0, followMs: 0, startMs: 0 },
  });
  return {
    files,
    restarts,
    /** The minutes from here on, each with what is so then. */
    look: async (minutes: number, so: { answers?: boolean; refused: (minute: number) => number }) => {
      const told: string[] = [];
      for (const end = minute + minutes; minute < end; minute += 1) {
        answers = so.answers ?? true;
        files.splice(0, files.length, ...Array.from({ length: so.refused(minute) }, (_, number) => stack(number)));
        told.push(...(await keeper.turn()).map(({ message }) => message));
      }
      return told;
    },
  };
}

describe('the keeper of the proxy', () => {
  it('a difference that grows from look to look cuts nobody off each time', async () => {
    const { restarts, look } = proxy();
    const told = await look(120, { refused: (minute) => 1 + minute });
    expect(restarts).toEqual([0, 15, 45, 105]);
    expect(told).toHaveLength(120);
    expect(told[20]).toContain(
      'It was restarted at 2026-11-21 10:15 UTC and will be again at 2026-11-21 10:45 UTC, if need be.',
    );
  });

  it('a difference that each restart mends for a while is no other case', async () => {
    const { restarts, look } = proxy();
    await look(120, { refused: (minute) => minute % 3 });
    expect(restarts).toEqual([1, 16, 46, 106]);
  });

  it('waits no longer than six hours, and begins anew after half a day without a restart', async () => {
    const { restarts, look } = proxy();
    await look(60 * 60, { refused: () => 1 });
    const pauses = restarts.map((at, index) => (restarts[index + 1] ?? at) - at).slice(0, -1);
    expect(pauses).toEqual([15, 30, 60, 120, 240, 360, 360, 360, 360, 360, 360, 360, 360, 360].slice(0, pauses.length));
    expect(pauses.length).toBeGreaterThan(8);
    await look(13 * 60, { refused: () => 0 });
    const before = restarts.length;
    await look(16, { refused: () => 1 });
    expect(restarts.slice(before).map((at) => at - 73 * 60)).toEqual([0, 15]);
  });

  it('one that falls silent is restarted at once each time: nobody is left to be cut off', async () => {
    const { restarts, look } = proxy();
    for (let time = 0; time < 3; time += 1) {
      await look(2, { answers: false, refused: () => 0 });
      await look(1, { refused: () => 0 });
    }
    expect(restarts).toEqual([0, 3, 6]);
    // And where that does not help, not each minute either.
    await look(30, { answers: false, refused: () => 0 });
    expect(restarts.slice(3)).toHaveLength(1);
  });
});
