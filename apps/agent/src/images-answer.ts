import type { IncomingMessage, ServerResponse } from 'node:http';
import { askImagesSchema, DomainError, type ImagesAnswer as Answer } from '#libs/contracts';
import type { Engine } from '#libs/engine';
import { majorOfImage } from '#libs/tenants';
import { jsonBodyOf } from './json-body.js';

/** Twenty references of 300 characters. */
const LARGEST_BODY = 8_192;
const ASK_MS = 20_000;

export type ImagesAnswer = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/** `POST /images` with references: which image of the engine each of them is now, and which PostgreSQL it says it has. */
export function imagesAnswer(engine: Pick<Engine, 'imageId' | 'imageEnvironment'>): ImagesAnswer {
  return async (request, response) => {
    const body = askImagesSchema.safeParse(await jsonBodyOf(request, LARGEST_BODY));
    if (!body.success) {
      throw new DomainError('VALIDATION_FAILED', { message: 'It takes references of images.' });
    }
    const asked = [...new Set(body.data.references)];
    const found = await Promise.all(
      asked.map(async (reference) => {
        const [id, environment] = await Promise.all([
          engine.imageId(reference, { deadlineMs: ASK_MS }),
          engine.imageEnvironment(reference, { deadlineMs: ASK_MS }),
        ]);
        return { reference, id, major: environment === null ? null : majorOfImage(environment) };
      }),
    );
    const answer: Answer = {
      ids: Object.fromEntries(found.map(({ reference, id }) => [reference, id])),
      databaseMajors: Object.fromEntries(found.map(({ reference, major }) => [reference, major])),
    };
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
  };
}
