import { typedTranslation } from '#libs/ui';
import type { en } from './en.js';

/** The portal's texts; a key that does not exist does not compile. */
export const useT = typedTranslation<typeof en>();
