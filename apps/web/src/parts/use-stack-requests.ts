import type { Accepted, StackView } from '#libs/contracts';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useApi } from '../api/context.js';
import type { StackAction } from '../api/endpoints.js';
import { keys, putOperation, putStack } from '../api/queries.js';

/** What a person may ask of a stack; what is accepted is on the screen at once. */
export function useStackRequests(stack: StackView) {
  const api = useApi();
  const queries = useQueryClient();
  const accept = ({ stack: next, operation }: Accepted): void => {
    putStack(queries, { ...next, openOperation: next.openOperation ?? operation });
    putOperation(queries, operation);
    void queries.invalidateQueries({ queryKey: ['operations'] });
    void queries.invalidateQueries({ queryKey: keys.stacks });
  };
  const act = useMutation({
    // one key per press: a retry by the network layer is the same request, a new press is a new one
    mutationFn: (action: StackAction) => api.actOnStack(stack.slug, action, crypto.randomUUID()),
    onSuccess: accept,
  });
  const destroy = useMutation({
    mutationFn: () => api.destroyStack(stack.slug, crypto.randomUUID()),
    onSuccess: accept,
  });
  const suspend = useMutation({
    mutationFn: (note: string) => api.operator.suspend(stack.slug, note, crypto.randomUUID()),
    onSuccess: accept,
  });
  const resume = useMutation({
    mutationFn: () => api.operator.resume(stack.slug, crypto.randomUUID()),
    onSuccess: accept,
  });
  const rotate = useMutation({
    mutationFn: () => api.rotateSecrets(stack.slug, crypto.randomUUID()),
    onSuccess: accept,
  });
  const resize = useMutation({
    mutationFn: (plan: string) => api.resizeStack(stack.slug, plan, crypto.randomUUID()),
    onSuccess: accept,
  });
  const upgrade = useMutation({
    mutationFn: (release: string) => api.upgradeStack(stack.slug, release, crypto.randomUUID()),
    onSuccess: accept,
  });
  return { act, destroy, suspend, resume, rotate, resize, upgrade };
}
