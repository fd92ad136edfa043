import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { docker, killEngine, startEngine } from '../../support/engine.js';
import { engineObjects, type EngineObjects } from '../../support/platform.js';
import { anotherPlatforms, PlantedObjects } from './foreign.js';
import type { PlatformWorld } from './world.js';

interface Check {
  name: string;
  state: string;
  todo?: string;
}

/** `up` once more, the firewall's unit, `aviary doctor`. */
export function tools(world: () => PlatformWorld): void {
  it('a second scripts/up changes nothing and prints no password', async () => {
    const { platform } = world();
    const before = await docker('ps', '-a', '--no-trunc', '--format', '{{.ID}} {{.Names}}');
    const env = await readFile(join(platform.facts.root, '.env'), 'utf8');
    const again = await platform.run('up');
    expect(again.code).toBe(0);
    expect(again.stdout).toContain('Aviary runs at');
    expect(again.stdout).not.toContain('Password');
    expect(await docker('ps', '-a', '--no-trunc', '--format', '{{.ID}} {{.Names}}')).toBe(before);
    expect(await readFile(join(platform.facts.root, '.env'), 'utf8')).toBe(env);
  }, 120_000);

  it('the unit that loads the firewall before the engine is one systemd accepts', async () => {
    const folder = join(world().platform.facts.dataDir, 'firewall');
    const [unit] = (await readdir(folder)).filter((name) => name.endsWith('.service'));
    expect(unit).toBeDefined();
    const { stdout, stderr } = await promisify(execFile)('systemd-analyze', ['verify', join(folder, unit ?? '')]);
    expect(`${stdout}${stderr}`).toBe('');
  });

  it('doctor finds nothing wrong with a platform that is well, and says what is with one that is not', async () => {
    const { platform } = world();
    const well = await platform.cli<{ checks: Check[] }>('doctor');
    expect(well.document.data.checks.filter(({ state }) => state === 'bad')).toEqual([]);
    expect(well.document.data.checks.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['engine', 'memory', 'clock', 'networks', 'firewall', 'certificate tenants', 'portal']),
    );
    await docker('stop', '-t', '5', platform.container('postgres'));
    const ill = await platform.cli<{ checks: Check[] }>('doctor');
    expect(ill.code).toBe(8);
    const bad = ill.document.data.checks.filter(({ state }) => state === 'bad');
    expect(bad.length).toBeGreaterThan(0);
    expect(bad.every(({ todo }) => (todo ?? '').length > 10)).toBe(true);
    await docker('start', platform.container('postgres'));
  }, 120_000);

  it('says what to do when the engine itself is down', async () => {
    await killEngine();
    const away = await world().platform.run('aviary', 'doctor');
    await startEngine();
    expect(away.code).toBe(8);
    expect(away.stderr).toContain('The Docker Engine does not answer');
  }, 120_000);
}

/** The end of the platform, and so of its tests. */
export function purge(world: () => PlatformWorld): void {
  it('down --purge --with-backups removes everything of this platform and nothing else', async () => {
    const { platform } = world();
    const { slug, id } = await world().runningStack();
    await docker('volume', 'create', 'somebody-elses');
    const theirs = new PlantedObjects(`aviary-${platform.facts.prefix}-${slug}`, {
      container: '-other',
      network: '-other',
      volume: '-data-2',
    });
    await theirs.plant(anotherPlatforms(id));
    const ended = await platform.run('down', '--purge', '--with-backups', '--yes');
    expect({ code: ended.code, stderr: ended.stderr }).toMatchObject({ code: 0 });
    expect(await platform.objects()).toEqual({ containers: [], networks: [], volumes: [] });
    await theirs.expectUntouched();
    const names = (objects: EngineObjects): string[] => Object.values(objects).flat() as string[];
    expect(new Set(names(await engineObjects()))).toEqual(
      new Set([...names(world().before), ...theirs.all, 'somebody-elses']),
    );
    const rules = (await promisify(execFile)('iptables', ['-S'])).stdout;
    expect(rules).not.toContain(platform.facts.prefix);
    const data = await readdir(platform.facts.dataDir);
    expect(data).toEqual([]);
    await theirs.remove();
    await docker('volume', 'rm', 'somebody-elses');
  }, 240_000);
}
