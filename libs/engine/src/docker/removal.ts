import type Docker from 'dockerode';
import { waitFor, type Bounds } from '#libs/async';
import { signalled } from './client.js';
import { reasonOf, statusOf } from './errors.js';
import { absent } from './missing.js';

/**
 * Kills and removes, with the anonymous volumes that an image's VOLUME lines made; named ones stay. A removal that is
 * already under way counts, once it is done.
 */
export async function removeById(docker: Docker, id: string, bounds: Bounds & { signal: AbortSignal }): Promise<void> {
  try {
    await absent(docker.getContainer(id).remove(signalled(bounds.signal, { force: true, v: true })));
  } catch (error) {
    if (statusOf(error) !== 409 || !/already in progress/i.test(reasonOf(error))) {
      throw error;
    }
    await waitUntilGone(docker, id, bounds);
  }
}

/** Resolves once the engine no longer knows the container. */
export async function waitUntilGone(docker: Docker, id: string, { deadlineMs, signal }: Bounds): Promise<void> {
  await waitFor(
    async (probeSignal) => {
      const info = await absent(docker.getContainer(id).inspect(signalled(probeSignal, {})));
      return info ? undefined : true;
    },
    { what: `removal of container ${id}`, deadlineMs, ...(signal ? { signal } : {}) },
  );
}
