import {
  OPERATION_KINDS,
  STACK_REASONS,
  STACK_STATUS,
  type StackStatus,
  type StackView,
  type StackWarning,
} from '#libs/contracts';
import { StatusPill, useErrorText, useStatusText, useTimeText, useUiText } from '#libs/ui';
import { useMe } from '../api/context.js';
import { useT } from '../i18n/use-text.js';

/** Words as an operator reads them: what is "by you" to its owner is not to them. */
export function useFleetText(): (status: StackStatus) => string {
  const t = useT();
  const text = useStatusText();
  return (status) => (status === 'stopped' ? t('fleet.stopped') : text(STACK_STATUS[status]));
}

/** Why a stack is not as wanted: by its code, which is one of its own or an error's; else as the server wrote it. */
export function useStackReason(): (stack: StackView) => string | null {
  const t = useT();
  const errorText = useErrorText();
  return ({ reason, reasonCode, reasonParams }) => {
    if (reason === null) {
      return null;
    }
    const own = STACK_REASONS.find((known) => known === reasonCode);
    if (own === undefined) {
      return errorText({ code: reasonCode, message: reason });
    }
    const kind = OPERATION_KINDS.find((known) => known === reasonParams?.['kind']);
    return t(`stack.reasons.${own}`, {
      ...reasonParams,
      ...(kind === undefined ? {} : { kind: t(`operation.kind.${kind}`) }),
    });
  };
}

/** What is to be known of a stack that goes on, by its code. */
export function useWarningText(): (warning: StackWarning) => string {
  const t = useT();
  return ({ code, params }) => t(`stack.warnings.${code}`, params);
}

export function StackPill({ stack, size }: { stack: StackView; size?: 'sm' | 'md' | 'lg' }) {
  const ui = useUiText();
  const time = useTimeText();
  const me = useMe();
  const fleetText = useFleetText();
  // what was seen last is no news of what is now
  const word =
    stack.status === 'unknown' && stack.checkedAt !== null
      ? ui('noNewsSince', { time: time(stack.checkedAt) })
      : me?.username === stack.owner
        ? undefined
        : fleetText(stack.status);
  return (
    <StatusPill
      status={STACK_STATUS[stack.status]}
      {...(word === undefined ? {} : { word })}
      {...(size === undefined ? {} : { size })}
    />
  );
}
