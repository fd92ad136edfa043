import { Button } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useRef } from 'react';
import { keys } from '../api/keys.js';
import { botsQuery, createBot, meQuery } from '../api/queries.js';
import { useUnsure } from '../api/use-stream.js';
import type { GridDraft } from '../domain/draft.js';
import { readForm, toCreate } from '../domain/grid-form.js';
import { usedBots } from '../domain/quota.js';
import { useT } from '../i18n/i18n.js';
import { useFigures } from '../parts/figures.js';
import { Failed } from '../parts/query-state.js';

interface StartBarProps {
  draft: GridDraft;
  startable: boolean;
  fresh: boolean;
  savedAt: string | null;
  onStarted: () => void;
}

/** Always in reach: on a phone it sticks to the lower edge. */
export function StartBar({ draft, startable, fresh, savedAt, onStarted }: StartBarProps) {
  const t = useT();
  const figures = useFigures();
  const navigate = useNavigate();
  const client = useQueryClient();
  const unsure = useUnsure();
  const { data: me } = useQuery(meQuery());
  const { data: list } = useQuery(botsQuery());
  // one key per filled-in form: pressing twice, or again after a lost answer, makes one bot
  const attempt = useRef<{ body: string; key: string } | null>(null);
  const start = useMutation({
    mutationFn: async () => {
      const { params } = readForm(draft);
      if (params === null) {
        throw new Error('the form is not complete');
      }
      const body = toCreate(draft, params);
      const text = JSON.stringify(body);
      if (attempt.current?.body !== text) {
        attempt.current = { body: text, key: crypto.randomUUID() };
      }
      return createBot(body, attempt.current.key);
    },
    onSuccess: async (bot) => {
      onStarted();
      client.setQueryData(keys.bot(bot.id), bot);
      await client.invalidateQueries({ queryKey: keys.bots });
      notifications.show({ autoClose: 4000, message: t('grid.started', { name: bot.name }) });
      await navigate({ to: '/bots/$id', params: { id: bot.id } });
    },
  });
  const full = list !== undefined && usedBots(list.items) >= list.limit;
  const blocked =
    me?.mayTrade === false ? t('common.readOnly') : full ? t('bots.limitReached', { limit: list.limit }) : null;
  return (
    <div className="action-bar">
      {start.error === null ? null : <Failed error={start.error} />}
      {blocked === null ? null : <p className="reason">{blocked}</p>}
      <div className="action-bar-row">
        <Button
          size="md"
          loading={start.isPending}
          disabled={!startable || blocked !== null || unsure}
          onClick={() => start.mutate()}
        >
          {t('grid.start')}
        </Button>
        <output className="av-muted">
          {unsure
            ? t('grid.waitLive')
            : !fresh
              ? t('grid.waitPrice')
              : savedAt === null
                ? ''
                : t('grid.saved', { time: figures.time(savedAt, 'seconds') })}
        </output>
      </div>
    </div>
  );
}
