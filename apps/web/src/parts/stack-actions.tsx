import { OPEN_OPERATION_STATES, type Accepted, type StackView } from '#libs/contracts';
import { ConfirmDialog } from '#libs/ui';
import { ActionIcon, Button, Menu, TextInput } from '@mantine/core';
import {
  IconAdjustments,
  IconCircleArrowUp,
  IconDots,
  IconKey,
  IconLock,
  IconLockOpen,
  IconMoon,
  IconTrash,
} from '@tabler/icons-react';
import { useNavigate } from '@tanstack/react-router';
import { useState, type ReactNode } from 'react';
import { useMe } from '../api/context.js';
import { givesWayToStop } from '../domain/operation-rungs.js';
import { offerName } from '../domain/releases.js';
import { isHeld, isIdle } from '../domain/startable.js';
import { useT } from '../i18n/use-text.js';
import { KeepFirst } from './export-panel.js';
import { Failure } from './failure.js';
import { PlanChoice } from './plan-choice.js';
import { OpenDashboard } from './open-dashboard.js';
import { UpgradeDialog, type Offer } from './upgrade-dialog.js';
import { useStackRequests } from './use-stack-requests.js';

type Asked = 'stop' | 'restart' | 'destroy' | 'hibernate' | 'suspend' | 'rotate' | 'resize';

/** What stopping or destroying would do, counted in what the stack last reported. */
function useEffects(stack: StackView, plan: string): Record<Asked, ReactNode[]> {
  const t = useT();
  const { heartbeat } = stack;
  const bots = heartbeat?.bots ?? 0;
  const running = heartbeat?.runningBots ?? 0;
  const orders = heartbeat?.openOrders ?? 0;
  const host = new URL(stack.dashboardUrl).host;
  return {
    stop: [
      ...(running > 0 ? [t('stack.stopEffectBots', { count: running })] : []),
      t('stack.stopEffectVisit'),
      t('stack.stopEffectData'),
    ],
    restart: [t('stack.restartEffect')],
    hibernate: [t('stack.hibernateEffect'), t('stack.hibernateEffectVisit'), t('stack.hibernateEffectToken')],
    rotate: [t('stack.rotateEffect'), t('stack.rotateEffectRestart')],
    resize: [...(plan === '' ? [] : [t('stack.resizeEffect', { plan })]), t('stack.resizeEffectRuns')],
    suspend: [...(running > 0 ? [t('stack.suspendEffectBots', { count: running })] : []), t('stack.suspendEffect')],
    destroy: [
      ...(bots > 0 ? [t('stack.destroyEffectBots', { count: bots })] : []),
      ...(orders > 0 ? [t('stack.destroyEffectOrders', { count: orders })] : []),
      t('stack.destroyEffectData'),
      t('stack.destroyEffectAddress', { host }),
      <strong key="final">{t('stack.destroyEffectFinal')}</strong>,
    ],
  };
}

/** Only where there is one to go to; while it cannot be, it says until when. */
function UpgradeItem({ stack, busy, onChoose }: { stack: StackView; busy: boolean; onChoose: (offer: Offer) => void }) {
  const t = useT();
  const name = offerName(stack);
  const { upgrade, status, desired } = stack;
  if (upgrade === null || name === null || desired === 'deleted') {
    return null;
  }
  const later = busy ? t('stack.upgradeFree') : status === 'running' ? null : t('stack.upgradeRuns');
  return (
    <Menu.Item
      leftSection={<IconCircleArrowUp size={16} aria-hidden />}
      disabled={later !== null}
      onClick={() => onChoose({ release: upgrade.release, name })}
    >
      {t('stack.upgrade', { version: name })}
      {later === null ? null : <span className="aw-below av-small">{later}</span>}
    </Menu.Item>
  );
}

/** The buttons of a stack, and what they ask before they do it. */
export function StackActions({ stack }: { stack: StackView }) {
  const t = useT();
  const me = useMe();
  const navigate = useNavigate();
  const { act, destroy, suspend, resume, rotate, resize, upgrade } = useStackRequests(stack);
  const [chosen, setPlan] = useState('');
  const plan = me?.role === 'operator' ? chosen : (me?.plan ?? '');
  const effects = useEffects(stack, plan);
  const [asked, setAsked] = useState<Asked | null>(null);
  const [note, setNote] = useState('');
  const [offer, setOffer] = useState<Offer | null>(null);

  const open =
    stack.openOperation !== null && OPEN_OPERATION_STATES.includes(stack.openOperation.state)
      ? stack.openOperation
      : null;
  const busy = open !== null;
  const idle = isIdle(stack);
  const trades = (stack.heartbeat?.runningBots ?? 0) > 0;
  const gone = stack.desired === 'deleted';
  const operator = me?.role === 'operator';
  const held = isHeld(stack);
  const own = me !== null && me.username === stack.owner;
  const close = (): void => setAsked(null);
  const toOperation = ({ operation }: Accepted): Promise<void> =>
    navigate({ to: '/app/operations/$id', params: { id: operation.id } });

  return (
    <>
      {own ? <OpenDashboard stack={stack} /> : null}
      {idle || stack.status === 'attention' ? (
        <Button
          variant="default"
          disabled={busy || gone || held}
          loading={act.isPending && (act.variables === 'start' || act.variables === 'wake')}
          onClick={() => act.mutate(stack.status === 'asleep' ? 'wake' : 'start')}
        >
          {stack.status === 'asleep' ? t('stack.wake') : t('stack.start')}
        </Button>
      ) : null}
      {idle ? null : (
        <>
          <Button
            variant="default"
            disabled={(open !== null && !givesWayToStop(open)) || gone}
            loading={act.isPending && act.variables === 'stop'}
            onClick={() => setAsked('stop')}
          >
            {t('stack.stop')}
          </Button>
          <Button
            variant="default"
            disabled={busy || gone || held}
            loading={act.isPending && act.variables === 'restart'}
            onClick={() => (trades ? setAsked('restart') : act.mutate('restart'))}
          >
            {t('stack.restart')}
          </Button>
        </>
      )}
      <Menu position="bottom-end">
        <Menu.Target>
          <ActionIcon variant="default" size={36} aria-label={t('stack.more')}>
            <IconDots size={18} aria-hidden />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          <UpgradeItem stack={stack} busy={busy} onChoose={setOffer} />
          <Menu.Item
            leftSection={<IconMoon size={16} aria-hidden />}
            disabled={busy || stack.status !== 'running'}
            onClick={() => setAsked('hibernate')}
          >
            {t('stack.hibernate')}
          </Menu.Item>
          <Menu.Item
            leftSection={<IconAdjustments size={16} aria-hidden />}
            disabled={busy || gone}
            onClick={() => setAsked('resize')}
          >
            {t('stack.resize')}
          </Menu.Item>
          <Menu.Item
            leftSection={<IconKey size={16} aria-hidden />}
            disabled={busy || gone}
            onClick={() => setAsked('rotate')}
          >
            {t('stack.rotate')}
          </Menu.Item>
          {operator && !stack.holds.includes('operator') ? (
            <Menu.Item
              leftSection={<IconLock size={16} aria-hidden />}
              disabled={gone}
              onClick={() => setAsked('suspend')}
            >
              {t('stack.suspend')}
            </Menu.Item>
          ) : null}
          {operator && stack.holds.includes('operator') ? (
            <Menu.Item
              leftSection={<IconLockOpen size={16} aria-hidden />}
              disabled={busy || gone}
              onClick={() => resume.mutate()}
            >
              {t('stack.resume')}
            </Menu.Item>
          ) : null}
          <Menu.Item
            color="bad"
            leftSection={<IconTrash size={16} aria-hidden />}
            disabled={gone}
            onClick={() => setAsked('destroy')}
          >
            {t('stack.destroyMenu')}
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      {(act.error ?? resume.error) === null ? null : (
        <div className="aw-action-error">
          <Failure error={act.error ?? resume.error} title={t('stack.actionFailed')} />
        </div>
      )}
      <ConfirmDialog
        opened={asked === 'stop' || asked === 'restart'}
        onClose={close}
        onConfirm={() => act.mutateAsync(asked === 'restart' ? 'restart' : 'stop')}
        verb={asked === 'restart' ? t('stack.restartVerb') : t('stack.stopVerb')}
        effects={asked === 'restart' ? effects.restart : effects.stop}
        grade="moderate"
      />
      <UpgradeDialog
        offer={offer}
        stack={stack}
        onClose={() => setOffer(null)}
        onConfirm={async (release) => toOperation(await upgrade.mutateAsync(release))}
      />
      <ConfirmDialog
        opened={asked === 'hibernate'}
        onClose={close}
        onConfirm={() => act.mutateAsync('hibernate')}
        verb={t('stack.hibernateVerb')}
        effects={effects.hibernate}
        grade="moderate"
      />
      <ConfirmDialog
        opened={asked === 'rotate'}
        onClose={close}
        onConfirm={() => rotate.mutateAsync()}
        verb={t('stack.rotateVerb')}
        effects={effects.rotate}
        grade="moderate"
      />
      <ConfirmDialog
        opened={asked === 'resize'}
        onClose={close}
        onConfirm={() => resize.mutateAsync(plan)}
        verb={t('stack.resizeVerb')}
        effects={effects.resize}
        ready={plan !== ''}
        grade="moderate"
      >
        {operator ? <PlanChoice value={plan} onChange={setPlan} now={stack.limits} /> : null}
      </ConfirmDialog>
      <ConfirmDialog
        opened={asked === 'suspend'}
        onClose={close}
        onConfirm={() => suspend.mutateAsync(note)}
        verb={t('stack.suspendVerb')}
        effects={effects.suspend}
        grade="severe"
        slug={stack.slug}
        danger
      >
        <TextInput
          label={t('stack.suspendNote')}
          description={t('stack.suspendNoteHint')}
          value={note}
          onChange={(event) => setNote(event.currentTarget.value)}
          maxLength={300}
          required
        />
      </ConfirmDialog>
      <ConfirmDialog
        opened={asked === 'destroy'}
        onClose={close}
        onConfirm={async () => toOperation(await destroy.mutateAsync())}
        verb={t('stack.destroy')}
        effects={effects.destroy}
        grade="severe"
        slug={stack.slug}
        danger
      >
        <KeepFirst stack={stack} />
      </ConfirmDialog>
    </>
  );
}
