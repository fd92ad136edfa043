import type { Bounds } from '#libs/async';
import type { DockerClient } from './client.js';
import { absent } from './missing.js';

export class DockerImages {
  constructor(private readonly client: DockerClient) {}

  async id(reference: string, bounds: Bounds): Promise<string | null> {
    return (await this.inspect(reference, bounds))?.Id ?? null;
  }

  async environment(reference: string, bounds: Bounds): Promise<Record<string, string> | null> {
    const image = await this.inspect(reference, bounds);
    // One that was imported has no variables.
    return image === undefined ? null : Object.fromEntries((image.Config?.Env ?? []).map(variable));
  }

  private async inspect(reference: string, bounds: Bounds): Promise<Inspected | undefined> {
    return await this.client.call(`look for image ${reference}`, bounds, (docker) =>
      absent<Inspected>(docker.getImage(reference).inspect()),
    );
  }
}

interface Inspected {
  Id: string;
  Config?: { Env?: string[] | null } | null;
}

/** `NAME=value`, where the value may have more of them. */
function variable(text: string): [string, string] {
  const at = text.indexOf('=');
  return at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}
