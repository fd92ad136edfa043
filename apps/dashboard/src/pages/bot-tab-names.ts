export const BOT_TABS = ['orders', 'fills', 'events', 'settings'] as const;
export type BotTab = (typeof BOT_TABS)[number];
