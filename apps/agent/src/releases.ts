import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { DomainError, isDomainError } from '#libs/contracts';
import type { Database } from '#libs/db';
import type { Engine } from '#libs/engine';
import { databaseImages } from '#libs/orchestrator';
import type { Logger } from '#libs/telemetry';
import { databaseMajorOf, foreignImage, parseTemplate, registerShipped, type Template } from '#libs/tenants';

const CALL_MS = 20_000;

interface RegisterOptions {
  directory: string;
  /** What `${AVIARY_IMAGE_…}` in a template stands for. */
  images: Readonly<Record<string, string>>;
  dataSource: Database;
  engine: Engine;
  logger: Logger;
  now: () => Date;
}

export interface Registered {
  /** Ids of the releases. */
  releases: string[];
  /** Templates that could not become one, and why. */
  leftOut: { template: string; reason: string }[];
}

/**
 * Reads every template of the folder and registers it with its images pinned by id, so that a tag that moves later
 * changes nothing; see `registerShipped` for what comes of it. A template that is not acceptable, lacks an image or has
 * one of another PostgreSQL than it says is reported and left out; the others serve.
 */
export async function registerReleases(options: RegisterOptions): Promise<Registered> {
  const registered: Registered = { releases: [], leftOut: [] };
  for (const entry of await readdir(options.directory, { withFileTypes: true })) {
    if (!entry.isDirectory()) {
      continue;
    }
    try {
      registered.releases.push(await registerOne(options, join(options.directory, entry.name, 'compose.yml')));
    } catch (error) {
      if (!isDomainError(error, 'TEMPLATE_INVALID') && !isDomainError(error, 'IMAGE_MISSING')) {
        throw error;
      }
      options.logger.error({ template: entry.name, err: error }, 'template left out');
      registered.leftOut.push({ template: entry.name, reason: error.message });
    }
  }
  return registered;
}

async function registerOne(options: RegisterOptions, file: string): Promise<string> {
  const template = parseTemplate(parse(await readFile(file, 'utf8')), options.images);
  const images: Record<string, string> = {};
  for (const [service, { image }] of Object.entries(template.services)) {
    const id = await options.engine.imageId(image, { deadlineMs: CALL_MS });
    if (id === null) {
      throw new DomainError('IMAGE_MISSING', {
        message: `The engine has no image ${image}, which ${template.name} needs for ${service}. Run scripts/up to make it.`,
        details: { image, service, template: template.name },
      });
    }
    images[service] = id;
  }
  await requireDatabaseMajor(options, template, images);
  const areHere = async (others: Readonly<Record<string, string>>): Promise<boolean> => {
    const ids = await Promise.all(
      Object.values(others).map((image) => options.engine.imageId(image, { deadlineMs: CALL_MS })),
    );
    return !ids.includes(null);
  };
  return registerShipped(options.dataSource, { template, images, areHere, now: options.now() });
}

/** An image that does not say what it has is taken at its template's word. */
async function requireDatabaseMajor(
  { engine, logger }: RegisterOptions,
  template: Template,
  images: Readonly<Record<string, string>>,
): Promise<void> {
  const databases = await databaseImages(engine, { template, images }, { deadlineMs: CALL_MS });
  const foreign = foreignImage(template, databases);
  if (foreign !== null) {
    throw new DomainError('TEMPLATE_INVALID', {
      message: `${foreign} Set x-aviary.databaseMajor of ${template.name} to what its image has, or give it an image of PostgreSQL ${databaseMajorOf(template)}.`,
      details: { problems: [foreign] },
    });
  }
  for (const { service, image } of databases.filter(({ has }) => has === null)) {
    logger.warn(
      { template: template.name, service, image, taken: databaseMajorOf(template) },
      'an image does not say which PostgreSQL it has, and is taken for what its template says',
    );
  }
}
