import type { IncomingMessage, ServerResponse } from 'node:http';
import { askImagesSchema, DomainError, imagesAnswerSchema } from '#libs/contracts';
import type { Engine } from '#libs/engine';
import type { z } from 'zod';
import { jsonBodyOf } from './json-body.js';

/** Twenty references of 300 characters. */
const LARGEST_BODY = 8_192;
const ASK_MS = 20_000;

export type ImagesAnswer = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/** `POST /images` with references: which image of the engine each of them is now. */
export function imagesAnswer(engine: Pick<Engine, 'imageId'>): ImagesAnswer {
  return async (request, response) => {
    const body = askImagesSchema.safeParse(await jsonBodyOf(request, LARGEST_BODY));
    if (!body.success) {
      throw new DomainError('VALIDATION_FAILED', { message: 'It takes references of images.' });
    }
    const asked = [...new Set(body.data.references)];
    const found = await Promise.all(
      asked.map(async (reference) => [reference, await engine.imageId(reference, { deadlineMs: ASK_MS })] as const),
    );
    const answer: z.infer<typeof imagesAnswerSchema> = { ids: Object.fromEntries(found) };
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
  };
}
