import { createI18n, typedTranslation } from '#libs/ui';
import { en } from './en.js';

export const i18n = createI18n({ en });
/** A key that does not exist does not compile. */
export const useT = typedTranslation<typeof en>();
export type AppResources = typeof en;
