import type { Accepted } from '#libs/contracts';
import { useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useRef } from 'react';
import { keys, putOperation, putStack } from '../api/queries.js';

/**
 * Sends an order that changes a stack as a whole, and goes to the page of its operation. `about` names what was chosen:
 * asked again about the same, after a line that broke, it is the same request; asked again after it was taken, another.
 */
export function useFollowOrder(): (about: string, send: (key: string) => Promise<Accepted>) => Promise<void> {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const asked = useRef<{ about: string; key: string } | null>(null);
  return async (about, send) => {
    if (asked.current?.about !== about) {
      asked.current = { about, key: crypto.randomUUID() };
    }
    const { stack, operation } = await send(asked.current.key);
    asked.current = null;
    putStack(queries, stack);
    putOperation(queries, operation);
    void queries.invalidateQueries({ queryKey: ['operations'] });
    void queries.invalidateQueries({ queryKey: keys.backups(stack.slug) });
    await navigate({ to: '/app/operations/$id', params: { id: operation.id } });
  };
}
