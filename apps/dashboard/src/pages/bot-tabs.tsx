import type { Bot, BotEvent, Fill, Order } from '#libs/contracts';
import { Amount, Copyable, Facts, Time } from '#libs/ui';
import { SegmentedControl, Tabs } from '@mantine/core';
import { IconAlertTriangle, IconCircleX, IconPoint } from '@tabler/icons-react';
import { useInfiniteQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { eventsQuery, fillsQuery, ordersQuery } from '../api/queries.js';
import { compare, distance } from '../domain/money.js';
import { useT } from '../i18n/i18n.js';
import { useMessageText, useReasonText } from '../i18n/messages.js';
import { DataTable, type Column } from '../parts/data-table.js';
import { MONEY_TICK, useFigures } from '../parts/figures.js';
import { Side } from '../parts/fill-list.js';
import { PagedList } from '../parts/paged-list.js';
import { FALLBACK_TICK, useLedgerTicks, useMarketPair, usePriceOf } from '../parts/use-market.js';
import { BOT_TABS, type BotTab } from './bot-tab-names.js';

export interface BotTabsProps {
  bot: Bot;
  tab: BotTab;
  onTab: (tab: BotTab) => void;
}

export function BotTabs({ bot, tab, onTab }: BotTabsProps) {
  const t = useT();
  const words = {
    orders: t('bot.tabs.orders', { count: bot.openOrders.total }),
    fills: t('bot.tabs.fills', { count: bot.fills }),
    events: t('bot.tabs.events'),
    settings: t('bot.tabs.settings'),
  };
  return (
    <section className="av-panel">
      <Tabs
        value={tab}
        onChange={(value) => onTab(BOT_TABS.find((known) => known === value) ?? 'orders')}
        keepMounted={false}
      >
        <Tabs.List>
          {BOT_TABS.map((known) => (
            <Tabs.Tab key={known} value={known}>
              {words[known]}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        <Tabs.Panel value="orders">
          <Orders bot={bot} />
        </Tabs.Panel>
        <Tabs.Panel value="fills">
          <Fills bot={bot} />
        </Tabs.Panel>
        <Tabs.Panel value="events">
          <Events bot={bot} />
        </Tabs.Panel>
        <Tabs.Panel value="settings">
          <Settings bot={bot} />
        </Tabs.Panel>
      </Tabs>
    </section>
  );
}

/** Open orders stand like the ladder: highest price first. */
function byPrice(a: Order, b: Order): number {
  return compare(b.price ?? '0', a.price ?? '0');
}

function Orders({ bot }: { bot: Bot }) {
  const t = useT();
  const market = useMarketPair(bot.pair);
  const price = usePriceOf(bot);
  const [state, setState] = useState<'open' | 'all'>('open');
  const query = useInfiniteQuery(ordersQuery(bot.id, state));
  const tick = market?.tick ?? FALLBACK_TICK;
  const step = market?.step ?? FALLBACK_TICK;
  const reasonText = useReasonText();
  const away = (order: Order) => (order.price === null || price === null ? null : distance(order.price, price));
  const columns: Column<Order>[] = [
    { key: 'side', label: t('fields.side'), lead: true, cell: (order) => <Side side={order.side} /> },
    {
      key: 'price',
      label: t('fields.price'),
      numeric: true,
      cell: (order) => (order.price === null ? t('bot.market') : <Amount value={order.price} tick={tick} />),
    },
    {
      key: 'quantity',
      label: t('fields.quantity'),
      numeric: true,
      cell: (order) => <Amount value={order.quantity} tick={step} />,
    },
    {
      key: 'filled',
      label: t('fields.filled'),
      numeric: true,
      cell: (order) => <Amount value={order.filled} tick={step} />,
    },
    ...(state === 'open'
      ? [
          {
            key: 'distance',
            label: t('fields.distance'),
            numeric: true,
            cell: (order: Order) => {
              const fraction = away(order);
              return fraction === null ? '–' : <Amount value={fraction} kind="percent" sign="always" />;
            },
          },
        ]
      : [
          { key: 'purpose', label: t('fields.purpose'), cell: (order: Order) => t(`bot.purpose.${order.purpose}`) },
          {
            key: 'state',
            label: t('fields.state'),
            cell: (order: Order) => (
              <>
                {t(`bot.orderState.${order.state}`)}
                {order.reason === null ? null : <span className="reason">{reasonText(order)}</span>}
              </>
            ),
          },
        ]),
    { key: 'placed', label: t('fields.placed'), numeric: true, cell: (order) => <Time value={order.placedAt} /> },
    {
      key: 'id',
      label: t('fields.id'),
      numeric: true,
      cell: (order) => (
        <Copyable value={order.clientOrderId} text={order.clientOrderId.slice(-6)} label={t('bot.copyOrder')} />
      ),
    },
  ];
  return (
    <>
      <div className="tab-bar">
        <span className="av-muted">
          {t('bot.ordersSplit', { sells: bot.openOrders.sells, buys: bot.openOrders.buys })}
        </span>
        <SegmentedControl
          size="xs"
          aria-label={t('fields.state')}
          value={state}
          onChange={(value) => setState(value === 'all' ? 'all' : 'open')}
          data={[
            { value: 'open', label: t('bot.showOpen') },
            { value: 'all', label: t('bot.showAll') },
          ]}
        />
      </div>
      <PagedList
        query={query}
        empty={<p className="quiet">{state === 'open' ? t('bot.noOrders') : t('bot.noOrdersAll')}</p>}
      >
        {(orders) => (
          <DataTable
            label={t('fields.orders')}
            columns={columns}
            rows={state === 'open' ? orders.toSorted(byPrice) : orders}
            rowKey={(order) => order.id}
          />
        )}
      </PagedList>
    </>
  );
}

export function useFillColumns(bots: boolean): Column<Fill>[] {
  const t = useT();
  const ticks = useLedgerTicks();
  return [
    { key: 'at', label: t('fields.time'), lead: true, cell: (fill) => <FillTime fill={fill} /> },
    ...(bots ? [{ key: 'bot', label: t('fields.bot'), wide: true, cell: (fill: Fill) => fill.botName }] : []),
    { key: 'side', label: t('fields.side'), cell: (fill) => <Side side={fill.side} /> },
    { key: 'price', label: t('fields.price'), numeric: true, cell: (fill) => <FillAmount fill={fill} part="price" /> },
    {
      key: 'quantity',
      label: t('fields.quantity'),
      numeric: true,
      cell: (fill) => <FillAmount fill={fill} part="quantity" />,
    },
    {
      key: 'value',
      label: t('fields.value'),
      numeric: true,
      cell: (fill) => <Amount value={fill.value} tick={ticks.value} />,
    },
    { key: 'fee', label: t('fields.fee'), numeric: true, cell: (fill) => <Amount value={fill.fee} tick={ticks.fee} /> },
    {
      key: 'profit',
      label: t('fields.profit'),
      numeric: true,
      wide: true,
      cell: (fill) =>
        fill.cellProfit === null ? (
          <span className="av-muted">–</span>
        ) : (
          <Amount value={fill.cellProfit} tick={ticks.fee} direction />
        ),
    },
  ];
}

function FillTime({ fill }: { fill: Fill }) {
  return (
    <>
      <Time value={fill.at} style="date" /> <Time value={fill.at} style="seconds" />
    </>
  );
}

function FillAmount({ fill, part }: { fill: Fill; part: 'price' | 'quantity' }) {
  const market = useMarketPair(fill.pair);
  const tick = part === 'price' ? market?.tick : market?.step;
  return <Amount value={fill[part]} {...(tick === undefined ? {} : { tick })} />;
}

function Fills({ bot }: { bot: Bot }) {
  const t = useT();
  const query = useInfiniteQuery(fillsQuery(bot.id));
  const columns = useFillColumns(false);
  return (
    <PagedList query={query} empty={<p className="quiet">{t('bot.noFills')}</p>}>
      {(fills) => <DataTable label={t('bot.fills')} columns={columns} rows={fills} rowKey={(fill) => fill.id} />}
    </PagedList>
  );
}

const EVENT_ICONS = { info: IconPoint, warn: IconAlertTriangle, error: IconCircleX } as const;

function EventLine({ event }: { event: BotEvent }) {
  const text = useMessageText();
  const Icon = EVENT_ICONS[event.level];
  return (
    <li data-level={event.level}>
      <Time value={event.at} style="date" /> <Time value={event.at} style="seconds" />
      <Icon size={16} aria-hidden />
      <span>{text(event)}</span>
    </li>
  );
}

function Events({ bot }: { bot: Bot }) {
  const t = useT();
  const query = useInfiniteQuery(eventsQuery(bot.id));
  return (
    <PagedList query={query} empty={<p className="quiet">{t('bot.noEvents')}</p>}>
      {(events) => (
        <ol className="events" aria-label={t('bot.tabs.events')}>
          {events.map((event) => (
            <EventLine key={event.id} event={event} />
          ))}
        </ol>
      )}
    </PagedList>
  );
}

/** What the stack stored, not what the form had. */
function Settings({ bot }: { bot: Bot }) {
  const t = useT();
  const figures = useFigures();
  const market = useMarketPair(bot.pair);
  const [base = '', quote = ''] = bot.pair.split('/');
  const { params } = bot;
  const tick = market?.tick ?? FALLBACK_TICK;
  const optional = (price: string | null) => (price === null ? t('common.none') : figures.price(price, tick));
  const moment = (iso: string | null) => (iso === null ? '–' : <Time value={iso} />);
  const items = [
    { term: t('bot.settings.pair'), value: bot.pair },
    { term: t('bot.settings.strategy'), value: t('bot.settings.grid') },
    {
      term: t('bot.settings.range'),
      value: `${figures.price(params.lower, tick)} – ${figures.price(params.upper, tick)}`,
    },
    { term: t('bot.settings.grids'), value: params.grids },
    { term: t('bot.settings.mode'), value: params.mode === 'geo' ? t('grid.geo') : t('grid.arith') },
    { term: t('bot.settings.investment'), value: <Amount value={params.investment} tick={MONEY_TICK} unit={quote} /> },
    {
      term: t('bot.settings.cellQuantity'),
      value:
        bot.cellQuantity === null ? (
          '–'
        ) : (
          <Amount value={bot.cellQuantity} tick={market?.step ?? FALLBACK_TICK} unit={base} />
        ),
    },
    { term: t('bot.settings.stopLoss'), value: optional(params.stopLoss) },
    { term: t('bot.settings.takeProfit'), value: optional(params.takeProfit) },
    { term: t('bot.settings.triggerPrice'), value: optional(params.triggerPrice) },
    {
      term: t('bot.settings.onExit'),
      value: params.onExit === 'sell' ? t('grid.sell', { base }) : t('grid.keep', { base }),
    },
    { term: t('bot.settings.created'), value: moment(bot.createdAt) },
    { term: t('bot.settings.started'), value: moment(bot.startedAt) },
    { term: t('bot.settings.stopped'), value: moment(bot.stoppedAt) },
    { term: t('bot.settings.id'), value: <Copyable value={bot.id} text={bot.id.slice(0, 8)} /> },
  ];
  return (
    <div className="tab-body">
      <Facts items={items} />
    </div>
  );
}
