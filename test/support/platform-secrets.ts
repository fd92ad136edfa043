import { MasterKey, open } from '#libs/crypto';
import type { TestPlatform } from './platform.js';

/** A text that nobody may see where it does not belong, and what it opens. */
export interface Secret {
  what: string;
  text: string;
}

/** What `up` generates and nobody outside may know; public keys and the platform's id are none. */
const OF_THE_PLATFORM = [
  'AVIARY_MASTER_KEY',
  'AVIARY_SIGN_ON_SEED',
  'AVIARY_GATE_SEED',
  'AVIARY_OWNER_PASSWORD',
  'AVIARY_APP_PASSWORD',
  'AVIARY_REDIS_PASSWORD',
] as const;

/** Of a key in PEM each line is one: whatever breaks it up, a line stays whole. */
function texts(value: string): string[] {
  return value.split('\n').filter((line) => line !== '' && !line.startsWith('-----'));
}

/** Every value that was generated for a platform: its own, and of each stack what the database keeps sealed. */
export async function generatedSecrets(platform: TestPlatform): Promise<Secret[]> {
  const settings = await platform.settings();
  const own = OF_THE_PLATFORM.map((what) => ({ what, text: settings.get(what) ?? '' }));
  const masterKey = MasterKey.parse(settings.get('AVIARY_MASTER_KEY') ?? '', 'AVIARY_MASTER_KEY');
  const rows = await platform.sql(
    `select context, encode(sealed, 'hex'), owner, encode(wrapped, 'hex') from data_keys join (
       select tenant_id, 'tenant/' || tenant_id || '/' || name as context, sealed from tenant_secrets
       union all select tenant_id, 'repository/' || tenant_id, sealed from repositories) as records using (tenant_id)`,
  );
  const ofStacks = rows
    .split('\n')
    .filter(Boolean)
    .flatMap((row) => {
      const [context = '', sealed = '', owner = '', wrapped = ''] = row.split('|');
      const dataKey = masterKey.unwrap(owner, Buffer.from(wrapped, 'hex'));
      return texts(open(dataKey, context, Buffer.from(sealed, 'hex')).toString()).map((text) => ({
        what: context,
        text,
      }));
    });
  const all = [...own, ...ofStacks];
  const short = all.filter(({ text }) => text.length < 32).map(({ what }) => what);
  if (short.length > 0) {
    throw new Error(`Too short to be searched for, or missing: ${short.join(', ')}`);
  }
  return all;
}
