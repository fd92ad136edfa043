import { startingResponseSchema, type StartingRequest, type StartingResponse } from '#libs/contracts';
import type { ApiDoors } from './api-doors.js';
import { askApi, shared } from './shared-ask.js';

/** Reasons are sentences; the last words of a service may be among them. */
const MAX_BYTES = 64 * 1024;

export type Starting = (request: StartingRequest) => Promise<StartingResponse>;

/** Asks the api whether a stack still starts. Throws while no usable answer comes. */
export function startingAt(api: ApiDoors, now: () => number): Starting {
  return shared(
    async (request) => {
      const { status, text } = await askApi(
        api,
        { path: '/internal/starting', body: request },
        { maxBytes: MAX_BYTES },
      );
      if (status !== 200) {
        throw new Error(`the api answered ${status}`);
      }
      return startingResponseSchema.parse(JSON.parse(text));
    },
    { keyOf: ({ tenant, slug, sid }) => `${tenant} ${slug} ${sid ?? ''}`, now },
  );
}
