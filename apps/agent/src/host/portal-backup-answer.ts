import { z } from 'zod';

/** The one line that `aviary portal backup --json` answers with, also where it failed. */
const answerSchema = z.object({
  data: z.object({ id: z.uuid(), state: z.string() }).nullable(),
  error: z.object({ message: z.string() }).nullable(),
});

export interface PortalBackupAnswer {
  /** Of the backup it took, or that was under way and it followed; null unless that one is verified. */
  verified: string | null;
  /** Why there is none; null where it said nothing that can be read. */
  why: string | null;
}

export function portalBackupAnswer(stdout: string): PortalBackupAnswer {
  const answer = answerSchema.safeParse(documentIn(stdout));
  if (!answer.success) {
    return { verified: null, why: null };
  }
  const { data, error } = answer.data;
  return { verified: data?.state === 'verified' ? data.id : null, why: error?.message ?? null };
}

function documentIn(stdout: string): unknown {
  try {
    return JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
  } catch {
    return null; // It was cut off, or is no version that answers so.
  }
}
