/**
 * A part of the program that is loaded when it is first shown. Where it did not arrive and the page is going to be loaded
 * again for it (public/load-failure.js), there is none, and whoever waits for it goes on waiting.
 */
export const arrived = async <Part>(part: Promise<Part | undefined>): Promise<Part> =>
  (await part) ?? new Promise<never>(() => undefined);
