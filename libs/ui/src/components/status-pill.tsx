import type { StatusWord } from '#libs/contracts';
import { IconCircleDashed } from '@tabler/icons-react';
import type { KeyOf } from '../i18n/i18n.js';
import { useUiText, type UiResources } from '../i18n/i18n.js';
import { STATUS_ICONS } from './icons.js';

/** The word of a status in the chosen language, for places that cannot hold a pill. */
export function useStatusText(): (status: StatusWord) => string {
  const t = useUiText();
  return (status) => t(`status.${status.key}` as KeyOf<UiResources>);
}

export interface StatusPillProps {
  status: StatusWord;
  /** Replaces the word where a fact belongs into it, such as "No news since 14:02". */
  word?: string;
  size?: 'sm' | 'md' | 'lg';
}

/** Icon in the tone's colour and the word in the text's: neither shape nor colour carries the meaning alone. */
export function StatusPill({ status, word, size = 'md' }: StatusPillProps) {
  const text = useStatusText();
  const Icon = STATUS_ICONS[status.icon] ?? IconCircleDashed;
  const pixels = size === 'lg' ? 20 : size === 'sm' ? 14 : 16;
  return (
    <span className="av-pill" data-tone={status.tone} data-size={size}>
      <Icon size={pixels} stroke={2} aria-hidden className={status.icon === 'Loader2' ? 'av-spin' : undefined} />
      <span>{word ?? text(status)}</span>
    </span>
  );
}
