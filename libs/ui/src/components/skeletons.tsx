import { Skeleton } from '@mantine/core';
import { useEffect, useState, type ReactNode } from 'react';

/** Shows its children after 150 ms: what loads faster never flickers. */
export function AfterAMoment({ children, delayMs = 150 }: { children: ReactNode; delayMs?: number }) {
  const [due, setDue] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setDue(true), delayMs);
    return () => clearTimeout(timer);
  }, [delayMs]);
  return due ? children : null;
}

export interface SkeletonsProps {
  /** `rows` for lists and tables, `page` for a title with panels, `text` for a paragraph. */
  shape: 'rows' | 'page' | 'text';
  count?: number;
}

/** A grey drawing of what is coming, in its final shape. */
export function Skeletons({ shape, count = 4 }: SkeletonsProps) {
  const bars = Array.from({ length: count }, (_unused, index) => index);
  return (
    <div className="av-skeletons" aria-busy="true" data-shape={shape}>
      <AfterAMoment>
        {shape === 'page' ? <Skeleton height={32} width="min(320px, 60%)" mb={24} /> : null}
        {bars.map((bar) => (
          <Skeleton
            key={bar}
            height={shape === 'page' ? 112 : shape === 'rows' ? 24 : 14}
            width={shape === 'text' && bar === count - 1 ? '60%' : '100%'}
            mb={shape === 'text' ? 8 : 16}
          />
        ))}
      </AfterAMoment>
    </div>
  );
}
