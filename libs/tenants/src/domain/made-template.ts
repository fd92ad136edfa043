import { DomainError, type MakeRelease } from '#libs/contracts';
import { servicesOf, type Template } from './template.js';

type Wish = Pick<MakeRelease, 'version' | 'images' | 'requires' | 'databaseMajor'>;

/** The template of a release that is made like another one. Throws VALIDATION_FAILED for a service there is none of. */
export function madeTemplate(like: Template, { version, images, requires, databaseMajor }: Wish): Template {
  const unknown = Object.keys(images).filter((service) => !Object.hasOwn(like.services, service));
  if (unknown.length > 0) {
    throw new DomainError('VALIDATION_FAILED', {
      message: `${like.name} has no service ${unknown.join(', ')}; it has ${servicesOf(like).join(', ')}.`,
      details: { fields: unknown.map((service) => ({ path: `images.${service}`, message: 'is no service of it' })) },
    });
  }
  const services = Object.entries(like.services).map(([name, service]) => [
    name,
    { ...service, image: images[name] ?? service.image },
  ]);
  const { requires: _before, ...aviary } = like.aviary;
  return {
    ...like,
    services: Object.fromEntries(services) as Template['services'],
    aviary: {
      ...aviary,
      version,
      ...(databaseMajor === undefined ? {} : { databaseMajor }),
      ...(requires.length === 0 ? {} : { requires }),
    },
  };
}

/** Migrations of the portal's database that the release needs. */
export function requiredBy({ aviary }: Pick<Template, 'aviary'>): readonly string[] {
  return aviary.requires ?? [];
}

/** Of the migrations it needs, those a portal has not had, by the names of all it had. */
export function lacking(template: Pick<Template, 'aviary'>, had: readonly string[]): string[] {
  return requiredBy(template).filter((name) => !had.includes(name));
}
