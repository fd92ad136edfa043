import { STACK_STATUS, type StackView } from '#libs/contracts';
import { StatusPill, useTimeText, useUiText } from '#libs/ui';

export function StackPill({ stack, size }: { stack: StackView; size?: 'sm' | 'md' | 'lg' }) {
  const t = useUiText();
  const time = useTimeText();
  // what was seen last is no news of what is now
  const word =
    stack.status === 'unknown' && stack.checkedAt !== null
      ? t('noNewsSince', { time: time(stack.checkedAt) })
      : undefined;
  return (
    <StatusPill
      status={STACK_STATUS[stack.status]}
      {...(word === undefined ? {} : { word })}
      {...(size === undefined ? {} : { size })}
    />
  );
}
