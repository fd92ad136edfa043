import { ERROR_TEXT, type ErrorCode } from '#libs/contracts';
import { createInstance, type i18n, type TFunction } from 'i18next';
import { initReactI18next, useTranslation } from 'react-i18next';
import { en } from './en.js';

type Plural = '_zero' | '_one' | '_two' | '_few' | '_many' | '_other';
/** Every language has `_other` of what it counts; an ending without it is part of the name. */
type Bare<K extends string, All> = K extends `${infer Stem}${Plural}` ? (`${Stem}_other` extends All ? Stem : K) : K;

/** Every key of a resource tree as `a.b.c`; plural forms are one key. */
export type KeyOf<R> = {
  [K in keyof R & string]: R[K] extends string ? Bare<K, keyof R> : `${K}.${KeyOf<R[K]>}`;
}[keyof R & string];

export type Values = Record<string, string | number>;
export type Translate<R> = (key: KeyOf<R>, values?: Values) => string;

export type Resources = { [key: string]: string | Resources };
/** The languages an app speaks: `en` first, the others with the same keys. */
export type Languages = { en: Resources } & Record<string, Resources>;

export const LANGUAGE_NAMES: Record<string, string> = {
  en: 'English',
  'zh-CN': '简体中文',
  'zh-TW': '繁體中文',
  ru: 'Русский',
};

export interface I18nOptions {
  /** Called with a key that no language has: tests throw here. */
  onMissing?: (namespace: string, key: string) => void;
  language?: string;
}

/** One i18next for an app: namespace `ui` for this library, `app` for the app's own words. */
export function createI18n(app: Languages, options: I18nOptions = {}): i18n {
  const instance = createInstance();
  const resources = Object.fromEntries(
    Object.entries(app).map(([language, words]) => [language, { app: words, ui: en as Resources }]),
  );
  void instance.use(initReactI18next).init({
    resources,
    lng: options.language ?? 'en',
    supportedLngs: Object.keys(app),
    fallbackLng: 'en',
    ns: ['app', 'ui'],
    defaultNS: 'app',
    // React escapes; escaping twice shows &amp; to people
    interpolation: { escapeValue: false },
    returnNull: false,
    saveMissing: options.onMissing !== undefined,
    missingKeyHandler: (_languages, namespace, key) => options.onMissing?.(namespace, key),
    initAsync: false,
  });
  return instance;
}

function bound<R>(t: TFunction): Translate<R> {
  return (key, values) => t(key as string, values ?? {});
}

/** `const useT = typedTranslation<typeof en>()`: the app's hook; a key that does not exist does not compile. */
export function typedTranslation<R>(): () => Translate<R> {
  return () => {
    const { t } = useTranslation('app');
    return bound<R>(t);
  };
}

export type UiResources = typeof en;
export function useUiText(): Translate<UiResources> {
  const { t } = useTranslation('ui');
  return bound<UiResources>(t);
}

/** The language figures and dates are written in. */
export function useLocale(): string {
  return useTranslation().i18n.resolvedLanguage ?? 'en';
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERROR_TEXT, code);
}

/**
 * What is wrong, in the person's language. Servers write English and often more exactly than their code: in English
 * their own words stand, elsewhere the text of the code. What has no known code keeps its words.
 */
export function errorText(
  t: Translate<UiResources>,
  language: string,
  failure: { message: string; code?: string | null | undefined },
): string {
  const { code, message } = failure;
  if (typeof code !== 'string' || !isErrorCode(code) || (language === 'en' && message !== '')) {
    return message;
  }
  return t(`errors.${code}`);
}

export function useErrorText(): (failure: { message: string; code?: string | null | undefined }) => string {
  const t = useUiText();
  const language = useLocale();
  return (failure) => errorText(t, language, failure);
}
