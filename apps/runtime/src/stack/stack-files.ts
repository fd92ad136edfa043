import { createPrivateKey, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DomainError, SPEC_FILES, stackSpecSchema, type StackSpec } from '#libs/contracts';
import { publicKeyFromText } from '#libs/crypto';

/** What the agent put into the secret volume, read once at the start. */
export interface StackFiles {
  spec: StackSpec;
  gateKey: KeyObject;
  stackKey: KeyObject;
  databasePassword: string;
  redisPassword: string;
  /** PEM bundle that signs the portal's certificate; null where a public authority does. */
  portalCa: string | null;
}

async function read(directory: string, name: string): Promise<string> {
  try {
    return (await readFile(join(directory, name), 'utf8')).trim();
  } catch (cause) {
    throw new DomainError('CONFIG_INVALID', { message: `The file ${name} of this stack cannot be read.`, cause });
  }
}

/** Throws CONFIG_INVALID naming the file that is wrong, never what is in it. */
export async function readStackFiles(directory: string): Promise<StackFiles> {
  const [specText, databasePassword, redisPassword, stackKey, portalCa] = await Promise.all([
    read(directory, SPEC_FILES.spec),
    read(directory, SPEC_FILES.databasePassword),
    read(directory, SPEC_FILES.redisPassword),
    read(directory, SPEC_FILES.stackKey),
    read(directory, SPEC_FILES.portalCa),
  ]);
  const parse = <T>(name: string, work: () => T): T => {
    try {
      return work();
    } catch (cause) {
      throw new DomainError('CONFIG_INVALID', { message: `The file ${name} of this stack is not valid.`, cause });
    }
  };
  const spec = parse(SPEC_FILES.spec, () => stackSpecSchema.parse(JSON.parse(specText)));
  return {
    spec,
    gateKey: parse('gate key of spec.json', () => publicKeyFromText(spec.gatePublicKey)),
    stackKey: parse(SPEC_FILES.stackKey, () => createPrivateKey(stackKey)),
    databasePassword,
    redisPassword,
    portalCa: portalCa === '' ? null : portalCa,
  };
}
