import type { AccountEntity, PlanEntity } from '#libs/db';
import type { Me } from '#libs/contracts';

export function meView(account: AccountEntity, plan: Pick<PlanEntity, 'code'>): Me {
  return {
    id: account.id,
    email: account.email,
    username: account.username,
    role: account.role,
    state: account.state,
    plan: plan.code,
    trialEndsAt: account.trialEndsAt?.toISOString() ?? null,
    createdAt: account.createdAt.toISOString(),
  };
}
