import { createCipheriv, randomBytes } from 'node:crypto';
import { MasterKey } from '#libs/crypto';

export const newMasterKeyText = (): string => randomBytes(32).toString('base64');
export const newMasterKey = (): MasterKey => MasterKey.parse(newMasterKeyText(), 'the test');

function encrypt(key: Buffer, context: string, plain: Buffer): Buffer {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(context));
  return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

/** As values were sealed before stacks had data keys; nothing of the platform makes such a record any more. */
export function sealedUnderMasterKey(masterKey: string, context: string, plain: string): Buffer {
  const own = randomBytes(32);
  return Buffer.concat([
    Buffer.from([1]),
    encrypt(Buffer.from(masterKey, 'base64'), context, own),
    encrypt(own, context, Buffer.from(plain)),
  ]);
}
