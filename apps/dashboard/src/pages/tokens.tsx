import type { TokenCreated, TokenView } from '#libs/contracts';
import { ConfirmDialog, Copyable, Panel, Skeletons, Time, useNow } from '#libs/ui';
import { Button, Modal, NativeSelect, TextInput } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { keys } from '../api/keys.js';
import { meQuery, mintToken, revokeToken, tokensQuery } from '../api/queries.js';
import { useT } from '../i18n/i18n.js';
import { DataTable, type Column } from '../parts/data-table.js';
import { Failed, QueryState } from '../parts/query-state.js';

const LIFETIMES = [7, 30, 90, 365] as const;

export function Tokens() {
  const t = useT();
  const query = useQuery(tokensQuery());
  const { data: me } = useQuery(meQuery());
  const [created, setCreated] = useState<TokenCreated | null>(null);
  const [revoking, setRevoking] = useState<TokenView | null>(null);
  return (
    <Panel title={t('settings.tokens')} flush>
      <div className="tab-body">
        <p className="av-muted">{t('settings.tokensText')}</p>
        {me?.mayTrade === false ? <p>{t('common.readOnly')}</p> : <MintForm onCreated={setCreated} />}
      </div>
      <QueryState query={query} loading={<Skeletons shape="rows" count={2} />}>
        {({ items }) =>
          items.length === 0 ? (
            <p className="quiet">{t('settings.noTokens')}</p>
          ) : (
            <TokenTable tokens={items} onRevoke={me?.mayTrade === false ? null : setRevoking} />
          )
        }
      </QueryState>
      <ShownOnce created={created} onClose={() => setCreated(null)} />
      <RevokeDialog token={revoking} onClose={() => setRevoking(null)} />
    </Panel>
  );
}

function MintForm({ onCreated }: { onCreated: (created: TokenCreated) => void }) {
  const t = useT();
  const client = useQueryClient();
  const [name, setName] = useState('');
  const [scope, setScope] = useState<'read' | 'trade'>('read');
  const [days, setDays] = useState<number>(90);
  const mint = useMutation({
    mutationFn: () => mintToken({ name: name.trim(), scope, expiresInDays: days }),
    onSuccess: async (created) => {
      setName('');
      onCreated(created);
      await client.invalidateQueries({ queryKey: keys.tokens });
    },
  });
  return (
    <form
      className="mint"
      onSubmit={(event) => {
        event.preventDefault();
        mint.mutate();
      }}
    >
      <TextInput
        label={t('settings.tokenName')}
        placeholder={t('settings.tokenNameExample')}
        value={name}
        maxLength={60}
        required
        onChange={(event) => setName(event.currentTarget.value)}
      />
      <NativeSelect
        label={t('settings.scope')}
        value={scope}
        data={[
          { value: 'read', label: t('settings.scopeRead') },
          { value: 'trade', label: t('settings.scopeTrade') },
        ]}
        onChange={(event) => setScope(event.currentTarget.value === 'trade' ? 'trade' : 'read')}
      />
      <NativeSelect
        label={t('settings.expires')}
        value={String(days)}
        data={LIFETIMES.map((count) => ({ value: String(count), label: t('settings.days', { count }) }))}
        onChange={(event) => setDays(LIFETIMES.find((count) => String(count) === event.currentTarget.value) ?? 90)}
      />
      <Button type="submit" loading={mint.isPending} disabled={name.trim() === ''}>
        {t('settings.mint')}
      </Button>
      {mint.error === null ? null : <Failed error={mint.error} />}
    </form>
  );
}

/** The only moment the token can be read; closing takes a press that says so. */
function ShownOnce({ created, onClose }: { created: TokenCreated | null; onClose: () => void }) {
  const t = useT();
  return (
    <Modal
      opened={created !== null}
      onClose={onClose}
      title={t('settings.minted')}
      className="av-dialog"
      size={520}
      closeOnClickOutside={false}
      closeOnEscape={false}
      withCloseButton={false}
    >
      {created === null ? null : (
        <div className="minted">
          <p className="minted-token">
            <Copyable value={created.token} label={t('settings.copyToken')} />
          </p>
          <p className="av-muted">{t('settings.mintedUse')}</p>
          <Button onClick={onClose}>{t('settings.done')}</Button>
        </div>
      )}
    </Modal>
  );
}

function TokenTable({
  tokens,
  onRevoke,
}: {
  tokens: readonly TokenView[];
  onRevoke: ((token: TokenView) => void) | null;
}) {
  const t = useT();
  const now = useNow(60_000);
  const ended = (token: TokenView) => token.revokedAt !== null || Date.parse(token.expiresAt) <= now;
  const columns: Column<TokenView>[] = [
    {
      key: 'name',
      label: t('settings.tokenName'),
      lead: true,
      cell: (token) => (
        <>
          {token.name} <span className="av-mono av-muted av-small">{token.hint}…</span>
        </>
      ),
    },
    {
      key: 'scope',
      label: t('settings.scope'),
      cell: (token) => t(token.scope === 'trade' ? 'settings.scopeTrade' : 'settings.scopeRead'),
    },
    { key: 'created', label: t('settings.created'), cell: (token) => <Time value={token.createdAt} /> },
    {
      key: 'used',
      label: t('settings.lastUsed'),
      cell: (token) => (token.lastUsedAt === null ? t('settings.never') : <Time value={token.lastUsedAt} />),
    },
    {
      key: 'expires',
      label: t('settings.expiresAt'),
      cell: (token) =>
        token.revokedAt !== null ? (
          <>
            {t('settings.revoked')} <Time value={token.revokedAt} />
          </>
        ) : Date.parse(token.expiresAt) <= now ? (
          t('settings.expired')
        ) : (
          <Time value={token.expiresAt} style="date" />
        ),
    },
    {
      key: 'action',
      label: t('settings.action'),
      numeric: true,
      cell: (token) =>
        onRevoke === null || ended(token) ? null : (
          <Button
            size="compact-xs"
            variant="default"
            onClick={() => onRevoke(token)}
            aria-label={t('settings.revokeTitle', { name: token.name })}
          >
            {t('settings.revoke')}
          </Button>
        ),
    },
  ];
  return <DataTable label={t('settings.tokens')} columns={columns} rows={tokens} rowKey={(token) => token.id} />;
}

function RevokeDialog({ token, onClose }: { token: TokenView | null; onClose: () => void }) {
  const t = useT();
  const client = useQueryClient();
  const name = token?.name ?? '';
  return (
    <ConfirmDialog
      opened={token !== null}
      onClose={onClose}
      grade="moderate"
      danger
      verb={t('settings.revokeTitle', { name })}
      effects={[t('settings.revokeText')]}
      onConfirm={async () => {
        if (token !== null) {
          await revokeToken(token.id);
          await client.invalidateQueries({ queryKey: keys.tokens });
          notifications.show({ message: t('settings.revokedToast', { name }) });
        }
      }}
    />
  );
}
