import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';

interface Composed {
  services: { postgres: { environment: Record<string, string> } };
}

it('portal, template and image make a cluster by the same arguments, so that any image opens what another made', async () => {
  const said = async (file: string): Promise<string | undefined> =>
    (parse(await readFile(file, 'utf8'), { merge: true }) as Composed).services.postgres.environment[
      'POSTGRES_INITDB_ARGS'
    ];
  const entrypoint = await readFile('images/postgres/docker-entrypoint.sh', 'utf8');
  const own = /^INITDB_ARGS='(.+)'$/m.exec(entrypoint)?.[1];
  expect(own).toContain('--builtin-locale=C.UTF-8');
  expect(await said('docker-compose.portal.yml')).toBe(own);
  expect(await said('tenant-template/standard/compose.yml')).toBe(own);
});
