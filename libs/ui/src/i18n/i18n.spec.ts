import { BOT_STATUS, OPERATION_STATUS, STACK_STATUS } from '#libs/contracts';
import { createI18n } from './i18n.js';

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
    const all = [...Object.values(STACK_STATUS), ...Object.values(BOT_STATUS), ...Object.values(OPERATION_STATUS)];
    for (const status of all) {
      expect(t(`status.${status.key}`, { ns: 'ui' })).toBe(status.word);
    }
  });
});
