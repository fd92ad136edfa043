import {
  OPEN_OPERATION_STATES,
  operationViewSchema,
  stackViewSchema,
  type OperationView,
  type StackView,
} from '#libs/contracts';
import {
  livenessOf,
  useLiveStream,
  useNow,
  useOnline,
  type LiveState,
  type ServerEvent,
  type UseLiveStreamOptions,
} from '#libs/ui';
import { useQueryClient } from '@tanstack/react-query';
import { useState, useSyncExternalStore } from 'react';
import type { z } from 'zod';
import { usePortal } from './context.js';
import { isApiError } from './errors.js';
import { keys, putOperation, putStack } from './queries.js';

function read<S extends z.ZodType>(schema: S, event: ServerEvent): z.output<S> | null {
  // an answer of a newer portal that this page does not understand must not end the stream; the next refetch tells
  const parsed = schema.safeParse(JSON.parse(event.data));
  return parsed.success ? parsed.data : null;
}

/** One stream of the portal, under the session of this page. */
export function useAuthorisedStream(
  path: string | null,
  handlers: Omit<UseLiveStreamOptions, 'url' | 'headers'>,
): void {
  const { client } = usePortal();
  useLiveStream({
    url: path === null ? null : `/api/v1${path}`,
    headers: async (): Promise<Record<string, string>> => {
      try {
        return { authorization: `Bearer ${await client.token()}` };
      } catch (error) {
        if (isApiError(error, 'UNAUTHENTICATED')) {
          return {}; // answered 401; the shell leads to the login page
        }
        throw error;
      }
    },
    ...handlers,
    onHeard: () => {
      client.noteHeard();
      handlers.onHeard?.();
    },
  });
}

/** Keeps a stack on the screen as it is. */
export function useStackStream(slug: string | null): void {
  const queries = useQueryClient();
  useAuthorisedStream(slug === null ? null : `/stacks/${slug}/events`, {
    onEvent: (event) => {
      const stack: StackView | null = event.type === 'stack' ? read(stackViewSchema, event) : null;
      if (stack !== null) {
        putStack(queries, stack);
      }
    },
    onReconnect: () => void queries.invalidateQueries({ queryKey: keys.stack(slug ?? '') }),
  });
}

/** Keeps an operation on the screen as it is; what it ended may have changed everything else. */
export function useOperationStream(operation: Pick<OperationView, 'id' | 'state'> | null): void {
  const queries = useQueryClient();
  const open = operation !== null && OPEN_OPERATION_STATES.includes(operation.state);
  useAuthorisedStream(open ? `/operations/${operation.id}/events` : null, {
    onEvent: (event) => {
      const next = event.type === 'operation' ? read(operationViewSchema, event) : null;
      if (next === null) {
        return;
      }
      putOperation(queries, next);
      queries.setQueryData<StackView>(keys.stack(next.slug), (old) =>
        old?.openOperation?.id === next.id ? { ...old, openOperation: next } : old,
      );
      if (!OPEN_OPERATION_STATES.includes(next.state)) {
        for (const queryKey of [['stack', next.slug], keys.stacks, ['operations'], ['operator']]) {
          void queries.invalidateQueries({ queryKey });
        }
      }
    },
    onReconnect: () => void queries.invalidateQueries({ queryKey: keys.operation(operation?.id ?? '') }),
  });
}

/** How fresh the page is: by the last answer or event of any kind. */
export function useFreshness(): LiveState {
  const { client } = usePortal();
  const online = useOnline();
  const now = useNow(1000);
  const [startedAt] = useState(() => Date.now());
  // no listener: the moving clock above asks often enough
  const heardAt = useSyncExternalStore(
    () => () => undefined,
    () => client.getHeardAt(),
  );
  return { liveness: livenessOf({ heardAt, startedAt, online }, now), heardAt };
}
