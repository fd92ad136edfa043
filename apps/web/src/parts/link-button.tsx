import { Anchor, Button, type AnchorProps, type ButtonProps } from '@mantine/core';
import { createLink } from '@tanstack/react-router';
import type { AnchorHTMLAttributes, Ref } from 'react';

type Own<P> = P & Omit<AnchorHTMLAttributes<HTMLAnchorElement>, keyof P> & { ref?: Ref<HTMLAnchorElement> };

function ButtonAnchor({ ref, ...props }: Own<ButtonProps>) {
  return <Button component="a" ref={ref} {...props} />;
}
function TextAnchor({ ref, ...props }: Own<AnchorProps>) {
  return <Anchor ref={ref} inherit {...props} />;
}

/** A link of the router that looks like a button. */
export const LinkButton = createLink(ButtonAnchor);
/** A link of the router within text. */
export const TextLink = createLink(TextAnchor);
