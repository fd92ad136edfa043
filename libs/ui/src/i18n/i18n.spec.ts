import { BOT_STATUS, DOMAIN_STATUS, ERROR_CODES, ERROR_TEXT, OPERATION_STATUS, STACK_STATUS } from '#libs/contracts';
import { createI18n, errorText } from './i18n.js';

const ui = (key: string) => strict().t(key, { ns: 'ui' });

function strict() {
  return createI18n(
    { en: { greeting: 'Hello {{name}}', bots_one: '{{count}} bot', bots_other: '{{count}} bots' } },
    {
      onMissing: (namespace, key) => {
        throw new Error(`no text for ${namespace}:${key}`);
      },
    },
  );
}

describe('createI18n', () => {
  it('fills and counts', () => {
    const { t } = strict();
    expect(t('greeting', { name: 'Ana & Co' })).toBe('Hello Ana & Co');
    expect(t('bots', { count: 1 })).toBe('1 bot');
    expect(t('bots', { count: 3 })).toBe('3 bots');
  });

  it('reports a missing key', () => {
    expect(() => strict().t('nowhere')).toThrow('no text for app:nowhere');
  });

  it('has the word of every status', () => {
    const { t } = strict();
    const all = [
      ...Object.values(STACK_STATUS),
      ...Object.values(BOT_STATUS),
      ...Object.values(OPERATION_STATUS),
      ...Object.values(DOMAIN_STATUS),
    ];
    for (const status of all) {
      expect(t(`status.${status.key}`, { ns: 'ui' })).toBe(status.word);
    }
  });

  it('has a text for every error code', () => {
    expect(ERROR_CODES.length).toBeGreaterThan(40);
    for (const code of ERROR_CODES) {
      expect(errorText(ui, 'ru', { code, message: 'Something in English.' })).toBe(ERROR_TEXT[code]);
      expect(errorText(ui, 'en', { code, message: '' })).toBe(ERROR_TEXT[code]);
    }
  });

  it('keeps the words of a server where they say more, or where nothing else is known', () => {
    expect(errorText(ui, 'en', { code: 'QUOTA_EXCEEDED', message: 'Your plan allows 5 bots.' })).toBe(
      'Your plan allows 5 bots.',
    );
    expect(errorText(ui, 'ru', { code: 'OF_TOMORROW', message: 'A code of a newer server.' })).toBe(
      'A code of a newer server.',
    );
    expect(errorText(ui, 'ru', { message: 'No code at all.' })).toBe('No code at all.');
  });
});
