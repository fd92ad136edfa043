import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '#libs/config';
import { DomainError } from '#libs/contracts';
import type { RepositoryPlace, ResticSettings } from '#libs/restic';

type BackupConfig = Pick<
  Config<'agent'>,
  'BACKUP_URL' | 'BACKUP_S3_DIR' | 'BACKUP_S3_REGION' | 'RESTIC_BINARY' | 'RESTIC_CACHE_DIR' | 'SECRET_DIR'
>;

export interface BackupPlaces {
  restic: ResticSettings;
  /**
   * Of the repository with that name below the platform's. The key of an S3 server is read anew each time, so one that
   * was changed is used from the next call on. Throws CONFIG_INVALID where it is not there.
   */
  repository(name: string, password: string): Promise<RepositoryPlace>;
}

export function backupPlaces(config: BackupConfig): BackupPlaces {
  return {
    restic: { binary: config.RESTIC_BINARY, secretDir: config.SECRET_DIR, cacheDir: config.RESTIC_CACHE_DIR },
    async repository(name, password) {
      const place = { url: `${config.BACKUP_URL}/${name}`, password };
      if (!config.BACKUP_URL.startsWith('s3:')) {
        return place;
      }
      const [accessKey, secretKey] = await Promise.all(
        ['key-id', 'secret-key'].map((file) => keyPart(join(config.BACKUP_S3_DIR, file))),
      );
      const region = config.BACKUP_S3_REGION === '' ? {} : { region: config.BACKUP_S3_REGION };
      return { ...place, s3: { accessKey: accessKey ?? '', secretKey: secretKey ?? '', ...region } };
    },
  };
}

async function keyPart(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw missing(path, cause);
  });
  // More than one line would become a setting of its own in restic's file of credentials.
  if (!/^\S+$/.test(text.trim())) {
    throw missing(path);
  }
  return text.trim();
}

function missing(path: string, cause?: unknown): DomainError {
  return new DomainError('CONFIG_INVALID', {
    message: `The key for the S3 server of backups cannot be read from ${path}: it holds no single word.`,
    ...(cause === undefined ? {} : { cause }),
  });
}
