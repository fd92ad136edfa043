import { statusOf } from './errors.js';

/** Undefined where the engine answers 404: for removals and look-ups to which "it is gone" is a fine answer. */
export async function absent<T>(answer: Promise<T>): Promise<T | undefined> {
  return await tolerate(answer, 404);
}

/** 304 is how the engine says that what runs runs and what is stopped is stopped; the client takes it for an error. */
export async function unchanged<T>(answer: Promise<T>): Promise<T | undefined> {
  return await tolerate(answer, 304);
}

async function tolerate<T>(answer: Promise<T>, status: number): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (statusOf(error) === status) {
      return undefined;
    }
    throw error;
  }
}
