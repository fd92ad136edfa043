import type { ReactNode } from 'react';

const SLOT = '\u{E000}';

/** A translated sentence with an element in it: the language decides where the element stands. */
export function Sentence({ text, children }: { text: (slot: string) => string; children: ReactNode }) {
  const [before = '', after = ''] = text(SLOT).split(SLOT);
  return (
    <>
      {before}
      {children}
      {after}
    </>
  );
}
