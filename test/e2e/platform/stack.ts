import { waitFor } from '#libs/async';
import { docker } from '../../support/engine.js';
import type { PortalClient } from '../../support/portal-client.js';
import type { PlatformWorld } from './world.js';

/** The life of one stack, from its making to its end. */
export function stack(world: () => PlatformWorld): void {
  let owner: PortalClient;
  let slug = '';

  it('is made for a person who signed up, and its dashboard answers its owner over TLS', async () => {
    owner = await world().signedUp();
    const { stack, operation } = await owner.createStack();
    slug = stack.slug;
    await owner.operationEnd(operation.id);
    await owner.signOn(slug);
    const ready = await owner.ask<{ ready: boolean; tenant: string }>(owner.dashboardHost(slug), '/ready');
    expect(ready).toMatchObject({ status: 200, body: { ready: true, tenant: stack.id } });
    const page = await owner.ask(owner.dashboardHost(slug), '/');
    expect(page.status).toBe(200);
    expect(page.text).toContain('<script');
    expect((await owner.stack(slug)).status).toBe('running');
  }, 120_000);

  it('lets nobody else in: a stranger, another customer, a forged identity', async () => {
    const host = owner.dashboardHost(slug);
    const anonymous = world().platform.client();
    expect((await anonymous.ask(host, '/')).status).toBe(302);
    expect((await anonymous.ask(host, '/api/v1/me', { headers: { accept: 'application/json' } })).status).toBe(401);
    expect(
      (
        await anonymous.ask(host, '/api/v1/me', {
          headers: { accept: 'application/json', 'x-aviary-identity': 'x.y.z', 'x-aviary-user': 'person1' },
        })
      ).status,
    ).toBe(401);
    const other = await world().signedUp();
    await expect(other.signOn(slug)).rejects.toThrow('404');
    await expect(other.stack(slug)).rejects.toThrow('404');
    const stolen = world().platform.client();
    stolen.jar.set(host, new Map([...(owner.jar.get(host) ?? [])].map(([name, value]) => [name, `${value}x`])));
    expect((await stolen.ask(host, '/ready')).status).toBe(302);
  }, 60_000);

  it('runs hardened, with the limits of its plan, and with no secret in what inspect shows', async () => {
    const containers = (await world().platform.objects()).containers.filter((name) => name.includes(slug));
    expect(containers).toHaveLength(3);
    const inspected = JSON.parse(await docker('inspect', ...containers)) as {
      Name: string;
      Config: { User: string; Env: string[] };
      HostConfig: {
        CapDrop: string[];
        SecurityOpt: string[];
        ReadonlyRootfs: boolean;
        Memory: number;
        MemorySwap: number;
        PidsLimit: number;
        NanoCpus: number;
        RestartPolicy: { Name: string };
        LogConfig: { Type: string };
        PortBindings: object;
      };
      Mounts: { Type: string; Source: string }[];
    }[];
    for (const { Config, HostConfig, Mounts } of inspected) {
      expect(Config.User).not.toMatch(/^(0|root|)(:|$)/);
      expect(HostConfig).toMatchObject({
        CapDrop: ['ALL'],
        ReadonlyRootfs: true,
        RestartPolicy: { Name: 'unless-stopped' },
        LogConfig: { Type: 'local' },
      });
      expect(HostConfig.SecurityOpt).toContain('no-new-privileges:true');
      expect(HostConfig.Memory).toBeGreaterThan(0);
      expect(HostConfig.MemorySwap).toBe(HostConfig.Memory);
      expect(HostConfig.PidsLimit).toBeGreaterThan(0);
      expect(HostConfig.NanoCpus).toBeGreaterThan(0);
      expect(Object.keys(HostConfig.PortBindings ?? {})).toEqual([]);
      expect(Mounts.every(({ Type }) => Type === 'volume')).toBe(true);
    }
    const password = await docker(
      'exec',
      containers.find((name) => name.endsWith('-runtime')) ?? '',
      'cat',
      '/run/aviary/database-password',
    );
    expect(password.length).toBeGreaterThan(20);
    expect(JSON.stringify(inspected)).not.toContain(password);
  }, 60_000);

  it('stops, starts and restarts by the command line, which tells the truth', async () => {
    const stopped = await world().platform.cli('tenant', 'stop', slug);
    expect(stopped).toMatchObject({ code: 0, document: { ok: true, data: { state: 'done', kind: 'stop' } } });
    expect((await owner.ask(owner.dashboardHost(slug), '/ready')).status).not.toBe(200);
    expect((await world().platform.cli<{ status: string }>('tenant', 'show', slug)).document.data.status).toBe(
      'stopped',
    );
    expect((await world().platform.cli('tenant', 'start', slug)).code).toBe(0);
    expect((await world().platform.cli('tenant', 'restart', slug)).code).toBe(0);
    await waitFor(
      async () => ((await owner.ask(owner.dashboardHost(slug), '/ready')).status === 200 ? true : undefined),
      { what: 'the dashboard after the restart', deadlineMs: 10_000 },
    );
    expect(await world().platform.cli('tenant', 'show', 'uaaaaaa')).toMatchObject({
      code: 3,
      document: { ok: false, error: { code: 'NOT_FOUND' } },
    });
    expect((await world().platform.run('aviary', 'tenant', 'destroy', slug)).code).toBe(2);
  }, 180_000);

  it('is destroyed without a trace', async () => {
    const { id } = await owner.stack(slug);
    // What finds nothing afterwards must find something before.
    expect((await world().platform.traces({ slug, id })).length).toBeGreaterThan(15);
    await owner.destroy(slug);
    expect(await world().platform.traces({ slug, id })).toEqual([]);
    await expect(owner.stack(slug)).rejects.toThrow('404');
  }, 120_000);
}
