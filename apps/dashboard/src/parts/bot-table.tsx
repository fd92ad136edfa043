import type { Bot } from '#libs/contracts';
import { BOT_STATUS } from '#libs/contracts';
import { Amount, StatusPill, useNow } from '#libs/ui';
import { Link } from '@tanstack/react-router';
import { useT } from '../i18n/i18n.js';
import { useReasonText } from '../i18n/messages.js';
import { DataTable, type Column } from './data-table.js';
import { MONEY_TICK, useDuration } from './figures.js';
import { ModeTag } from './mode-tag.js';
import { RangeBar } from './range-bar.js';
import { FALLBACK_TICK, useMarketPair, usePriceOf } from './use-market.js';

function BotRange({ bot }: { bot: Bot }) {
  const market = useMarketPair(bot.pair);
  const price = usePriceOf(bot);
  return (
    <RangeBar lower={bot.params.lower} upper={bot.params.upper} price={price} tick={market?.tick ?? FALLBACK_TICK} />
  );
}

/** The word of the state, with the time it has held; the reason stands under it where there is one. */
export function BotState({ bot, reason = true }: { bot: Bot; reason?: boolean }) {
  const t = useT();
  const duration = useDuration();
  const why = useReasonText()(bot);
  const now = useNow(60_000);
  const held = bot.status === 'running' ? ` ${duration(now - Date.parse(bot.since))}` : '';
  const stopping = bot.status === 'stopping' ? t('bot.cancelling', { count: bot.openOrders.total }) : undefined;
  return (
    <span className="bot-state">
      <span className="bot-state-word">
        <StatusPill status={BOT_STATUS[bot.status]} {...(stopping === undefined ? {} : { word: stopping })} />
        <span className="muted">{held}</span>
      </span>
      {reason && why !== null ? <span className="reason">{why}</span> : null}
    </span>
  );
}

export function BotTable({ bots }: { bots: readonly Bot[] }) {
  const t = useT();
  const columns: Column<Bot>[] = [
    {
      key: 'bot',
      label: t('fields.bot'),
      lead: true,
      cell: (bot) => (
        <>
          <Link to="/bots/$id" params={{ id: bot.id }} className="row-link">
            {bot.name}
          </Link>
          {bot.name.includes(bot.pair) ? null : <span className="muted"> {bot.pair}</span>} <ModeTag />
        </>
      ),
    },
    { key: 'state', label: t('fields.state'), wide: true, cell: (bot) => <BotState bot={bot} /> },
    { key: 'range', label: t('fields.range'), wide: true, cell: (bot) => <BotRange bot={bot} /> },
    {
      key: 'today',
      label: t('fields.todayUtc'),
      numeric: true,
      cell: (bot) => <Amount value={bot.today.total} tick={MONEY_TICK} direction />,
    },
    {
      key: 'total',
      label: t('fields.total'),
      numeric: true,
      cell: (bot) => <Amount value={bot.pnl.total} tick={MONEY_TICK} direction />,
    },
    { key: 'orders', label: t('fields.orders'), numeric: true, cell: (bot) => bot.openOrders.total },
  ];
  return <DataTable label={t('bots.title')} columns={columns} rows={bots} rowKey={(bot) => bot.id} />;
}
