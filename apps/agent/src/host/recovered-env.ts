import type { PortalManifest } from '#libs/backup';
import { appendMissing, parseEnvFile } from './env-file.js';
import type { HostConfig } from './settings.js';
import { Refusal } from './talk.js';

/** Where things are on this machine is not what the lost one had. */
const OF_THIS_MACHINE = ['DATA_DIR', 'ENGINE_SOCKET', 'BACKUP_URL', 'BACKUP_S3_REGION', 'PUBLIC_ADDRESSES'] as const;

/**
 * `.env` as the recovered platform is to have it: what it says already stays, the lost one's settings are added. Throws
 * where it names another platform.
 */
export function recoveredEnv(
  before: string,
  { platform, settings }: Pick<PortalManifest, 'platform' | 'settings'>,
  config: HostConfig,
): string {
  const there = parseEnvFile(before);
  const given = there.get('AVIARY_PLATFORM_ID');
  if (given !== undefined && given !== platform) {
    throw new Refusal(
      [
        `.env says that this is platform ${given}, and the backup is of ${platform}. Nothing was changed. To recover that one here, move .env away and put only what recovery needs into a new one (docs/operate.md, “A lost host”).`,
      ],
      2,
    );
  }
  const own: Record<string, string> = Object.fromEntries(
    OF_THIS_MACHINE.map((name) => [`AVIARY_${name}`, String(config[name])]),
  );
  const added = Object.entries({ ...settings, ...own, AVIARY_PLATFORM_ID: platform });
  return appendMissing(
    before,
    added.map(([name, value]) => ({ name, value })),
  );
}
