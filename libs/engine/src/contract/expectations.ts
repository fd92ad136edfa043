import type { ErrorCode } from '#libs/contracts';

export async function fails(work: Promise<unknown>, code: ErrorCode): Promise<void> {
  await expect(work).rejects.toMatchObject({ name: 'DomainError', code });
}
