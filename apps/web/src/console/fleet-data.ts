import type { StackView } from '#libs/contracts';
import { useQuery } from '@tanstack/react-query';
import { useApi } from '../api/context.js';
import { POLL_MS } from '../api/queries.js';

/** Cells are drawn for this many stacks at most; the list has the others. */
const MAX_PAGES = 4;

/** The newest stacks, page by page. */
export function useCells() {
  const api = useApi();
  return useQuery({
    queryKey: ['operator', 'cells'],
    queryFn: async (): Promise<StackView[]> => {
      const stacks: StackView[] = [];
      let cursor: string | undefined;
      for (let page = 0; page < MAX_PAGES; page += 1) {
        const { items, next } = await api.operator.stacks({ cursor, limit: 50 });
        stacks.push(...items);
        if (next === null) {
          break;
        }
        cursor = next;
      }
      return stacks;
    },
    refetchInterval: POLL_MS,
  });
}

/** Stacks that do not mend themselves: needing attention, or silent. */
export function useTroubled(): { stacks: StackView[] } {
  const api = useApi();
  const query = useQuery({
    queryKey: ['operator', 'troubled'],
    queryFn: async () => {
      const [attention, unknown] = await Promise.all([
        api.operator.stacks({ status: 'attention', limit: 20 }),
        api.operator.stacks({ status: 'unknown', limit: 20 }),
      ]);
      return [...attention.items, ...unknown.items];
    },
    refetchInterval: POLL_MS,
  });
  return { stacks: query.data ?? [] };
}
