import { TestPlatform } from '../support/platform.js';
import type { PortalClient } from '../support/portal-client.js';

const PASSWORD = 'correct horse battery staple';
const MANY = 1_000_000;
/** As many as the engine is given creates of at once by itself (`AVIARY_PROVISION_PARALLEL`). */
const AT_ONCE = 6;

export interface OwnPlatform {
  platform: TestPlatform;
  operator: PortalClient;
  /** A customer who may have as many stacks as the host has room for. */
  customer: PortalClient;
}

/** Brings up a platform beside the engine of `inOwnEngine`, runs the bench with it and takes it down again. */
export async function withOwnPlatform<T>(
  settings: Readonly<Record<string, string>>,
  bench: (own: OwnPlatform) => Promise<T>,
): Promise<T> {
  const platform = await TestPlatform.start(settings);
  try {
    const operator = await platform.operator();
    await platform.sql(`update plans set stacks = ${MANY}`);
    const customer = platform.client();
    await customer.signUp(operator, 'bench', PASSWORD);
    return await bench({ platform, operator, customer });
  } finally {
    await platform.stop();
  }
}

export const signInAgain = (customer: PortalClient): Promise<unknown> => customer.login('bench', PASSWORD);

/** Makes stacks until there are so many or one is refused, and gives their names and the refusal. */
export async function makeStacks(
  customer: PortalClient,
  upTo: number,
  say: (text: string) => void,
): Promise<{ slugs: string[]; refusal: Error | null }> {
  const slugs: string[] = [];
  let asked = 0;
  let refusal: Error | null = null;
  const makeSome = async (): Promise<void> => {
    while (refusal === null && asked < upTo) {
      asked += 1;
      const accepted = await customer.createStack().catch((error: unknown) => {
        if (!(error instanceof Error) || !/answered 503: .*NO_CAPACITY/.test(error.message)) {
          throw error;
        }
        refusal = error;
        return null;
      });
      if (accepted) {
        await customer.operationEnd(accepted.operation.id);
        slugs.push(accepted.stack.slug);
        if (slugs.length % 10 === 0) {
          say(`${slugs.length} stacks run`);
        }
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, makeSome));
  return { slugs, refusal };
}
