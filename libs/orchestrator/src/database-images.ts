import type { Bounds } from '#libs/async';
import type { Engine } from '#libs/engine';
import { majorOfImage, type DatabaseImage, type Template } from '#libs/tenants';

/** What the images of a release's databases say of their PostgreSQL; one that the engine does not have says nothing. */
export async function databaseImages(
  engine: Pick<Engine, 'imageEnvironment'>,
  { template, images }: { template: Template; images: Readonly<Record<string, string>> },
  bounds: Bounds,
): Promise<DatabaseImage[]> {
  return Promise.all(
    template.aviary.backup.postgres.map(async (service) => {
      const image = template.services[service]?.image ?? '';
      const environment = await engine.imageEnvironment(images[service] ?? image, bounds);
      return { service, image, has: environment === null ? null : majorOfImage(environment) };
    }),
  );
}
