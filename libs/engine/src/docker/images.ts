import type { Bounds } from '#libs/async';
import type { DockerClient } from './client.js';
import { absent } from './missing.js';

export class DockerImages {
  constructor(private readonly client: DockerClient) {}

  async id(reference: string, bounds: Bounds): Promise<string | null> {
    return await this.client.call(`look for image ${reference}`, bounds, async (docker) => {
      const image = await absent(docker.getImage(reference).inspect());
      return image?.Id ?? null;
    });
  }
}
