import { DomainError } from '#libs/contracts';
import type { RouteFile, Served } from '#libs/edge';
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
