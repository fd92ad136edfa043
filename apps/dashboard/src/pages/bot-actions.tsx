import type { Bot } from '#libs/contracts';
import { Amount, ConfirmDialog, Time } from '#libs/ui';
import { Button, Menu, Radio, ActionIcon } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { IconDots, IconPlayerPause, IconPlayerPlay, IconPlayerStop } from '@tabler/icons-react';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useEffect, useState } from 'react';
import { keys } from '../api/keys.js';
import { actOnBot, botQuery, deleteBot, meQuery, stopBot, type BotAction } from '../api/queries.js';
import { useUnsure } from '../api/use-stream.js';
import { multiply, signOf } from '../domain/money.js';
import { useT } from '../i18n/i18n.js';
import { useFailureText } from '../i18n/messages.js';
import { MONEY_TICK, useFigures } from '../parts/figures.js';
import { ModeTag } from '../parts/mode-tag.js';
import { FALLBACK_TICK, useMarketPair } from '../parts/use-market.js';

/** Time to take a mild action back, in ms. */
const UNDO_MS = 8000;

/** Mild actions happen at once and can be taken back; stopping and deleting count their effects first. */
export function BotActions({ bot }: { bot: Bot }) {
  const t = useT();
  const client = useQueryClient();
  const navigate = useNavigate();
  const unsure = useUnsure();
  const { data: me } = useQuery(meQuery());
  const failureText = useFailureText();
  const [dialog, setDialog] = useState<'stop' | 'delete' | null>(null);
  const act = useMutation({
    mutationFn: (action: BotAction) => actOnBot(bot.id, action),
    onSuccess: (changed, action) => {
      client.setQueryData(keys.bot(bot.id), changed);
      tell(action);
    },
    onError: (error) => {
      notifications.show({ color: 'bad', message: failureText(error) });
    },
  });
  const tell = (action: BotAction) => {
    const id = notifications.show({
      autoClose: UNDO_MS,
      message: (
        <span className="undo">
          {t(action === 'pause' ? 'bot.pausedToast' : action === 'resume' ? 'bot.resumedToast' : 'grid.started', {
            name: bot.name,
          })}
          {action === 'pause' ? (
            <Button
              size="compact-xs"
              variant="default"
              onClick={() => {
                notifications.hide(id);
                act.mutate('resume');
              }}
            >
              {t('bot.undo')}
            </Button>
          ) : null}
        </span>
      ),
    });
  };
  if (me?.mayTrade === false) {
    return <span className="av-muted">{t('common.readOnly')}</span>;
  }
  const open = bot.state === 'running' || bot.state === 'paused';
  const idle = bot.state === 'stopped' || bot.state === 'created' || bot.state === 'error';
  const stopping = bot.status === 'stopping';
  return (
    <>
      {bot.state === 'running' && !stopping ? (
        <Button
          leftSection={<IconPlayerPause size={16} aria-hidden />}
          loading={act.isPending}
          disabled={unsure}
          onClick={() => act.mutate('pause')}
        >
          {t('bot.pause')}
        </Button>
      ) : null}
      {bot.state === 'paused' && !stopping ? (
        <Button
          leftSection={<IconPlayerPlay size={16} aria-hidden />}
          loading={act.isPending}
          disabled={unsure}
          onClick={() => act.mutate('resume')}
        >
          {t('bot.resume')}
        </Button>
      ) : null}
      {bot.state === 'created' || bot.state === 'error' ? (
        <Button
          leftSection={<IconPlayerPlay size={16} aria-hidden />}
          loading={act.isPending}
          disabled={unsure}
          onClick={() => act.mutate('start')}
        >
          {bot.state === 'error' ? t('bot.retry') : t('bot.start')}
        </Button>
      ) : null}
      {open && !stopping ? (
        <Button
          variant="default"
          leftSection={<IconPlayerStop size={16} aria-hidden />}
          disabled={unsure}
          onClick={() => setDialog('stop')}
        >
          {t('bot.stop')}
        </Button>
      ) : null}
      <Menu position="bottom-end">
        <Menu.Target>
          <ActionIcon variant="default" size={36} aria-label={t('bot.more')}>
            <IconDots size={18} aria-hidden />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item onClick={() => void navigate({ to: '/bots/new', search: { clone: bot.id } })}>
            {t('bot.clone')}
          </Menu.Item>
          {/* an error leaves orders behind: it can be stopped properly as well as deleted once stopped */}
          {bot.state === 'error' ? (
            <Menu.Item disabled={unsure} onClick={() => setDialog('stop')}>
              {t('bot.stop')}
            </Menu.Item>
          ) : null}
          <Menu.Item
            color="bad"
            disabled={unsure || !idle || stopping || bot.state === 'error'}
            onClick={() => setDialog('delete')}
          >
            {t('bot.delete')}
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      <StopDialog bot={bot} opened={dialog === 'stop'} onClose={() => setDialog(null)} />
      <ConfirmDialog
        opened={dialog === 'delete'}
        onClose={() => setDialog(null)}
        grade="moderate"
        danger
        verb={t('remove.title', { name: bot.name })}
        effects={[
          <span key="mode">
            <ModeTag /> {t('app.noMoney')}
          </span>,
          t('remove.settings'),
          t('remove.fills', { count: bot.fills }),
        ]}
        onConfirm={async () => {
          await deleteBot(bot.id);
          await navigate({ to: '/bots' });
          client.removeQueries({ queryKey: ['bot', bot.id] });
          await client.invalidateQueries({ queryKey: keys.bots });
          notifications.show({ message: t('bot.deletedToast', { name: bot.name }) });
        }}
      />
    </>
  );
}

/** Counts what a stop does before it is pressed, on figures read that moment, and asks what becomes of the base. */
function StopDialog({ bot, opened, onClose }: { bot: Bot; opened: boolean; onClose: () => void }) {
  const t = useT();
  const figures = useFigures();
  const client = useQueryClient();
  const market = useMarketPair(bot.pair);
  const [onExit, setOnExit] = useState<'keep' | 'sell'>(bot.params.onExit);
  const fresh = useQuery({ ...botQuery(bot.id), enabled: opened });
  const { refetch } = fresh;
  useEffect(() => {
    if (opened) {
      // money actions look again first; what the stream said may be seconds old
      void refetch();
    }
  }, [opened, refetch]);
  const [base = '', quote = ''] = bot.pair.split('/');
  const held = signOf(bot.holdings.base) > 0;
  const amount = figures.amount(bot.holdings.base, { tick: market?.step ?? FALLBACK_TICK, unit: base });
  const value = bot.price === null ? null : figures.amount(multiply(bot.holdings.base, bot.price), { unit: quote });
  return (
    <ConfirmDialog
      opened={opened}
      onClose={onClose}
      grade="moderate"
      danger
      verb={t('stop.title', { name: bot.name })}
      effects={[
        <span key="mode">
          <ModeTag /> {t('app.noMoney')}
        </span>,
        bot.openOrders.total === 0 ? t('stop.cancelsNone') : t('stop.cancels', { count: bot.openOrders.total }),
        <span key="split" className="av-muted">
          {t('bot.ordersSplit', { sells: bot.openOrders.sells, buys: bot.openOrders.buys })}
          {fresh.dataUpdatedAt === 0 ? null : (
            <>
              {' · '}
              {t('stop.counted')} <Time value={new Date(fresh.dataUpdatedAt).toISOString()} style="seconds" />
            </>
          )}
        </span>,
        ...(held ? [] : [t('stop.nothingHeld', { base })]),
        <span key="total">
          {t('stop.result')} <Amount value={bot.pnl.total} tick={MONEY_TICK} direction unit={quote} />
        </span>,
        t('stop.final'),
      ]}
      onConfirm={async () => {
        const stopped = await stopBot(bot.id, { onExit: held ? onExit : 'keep' });
        client.setQueryData(keys.bot(bot.id), stopped);
        notifications.show({ message: t('bot.stoppingToast', { name: bot.name }) });
      }}
    >
      {held ? (
        <Radio.Group
          label={value === null ? t('stop.questionNoValue', { amount }) : t('stop.question', { amount, value })}
          value={onExit}
          onChange={(choice) => setOnExit(choice === 'keep' ? 'keep' : 'sell')}
        >
          <div className="choices">
            <Radio value="sell" label={t('stop.sell')} />
            <Radio value="keep" label={t('stop.keep')} description={t('stop.keepHint')} />
          </div>
        </Radio.Group>
      ) : null}
    </ConfirmDialog>
  );
}
