import type { PlanSummary, StackLimits } from '#libs/contracts';
import { NativeSelect } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useApi } from '../api/context.js';
import { keys } from '../api/queries.js';
import { useT } from '../i18n/use-text.js';
import { Loaded } from './loaded.js';

export interface PlanChoiceProps {
  /** Code of the chosen plan; empty: none yet. */
  value: string;
  onChange: (code: string) => void;
  /** Of the stack now. */
  now: StackLimits;
}

const same = (a: StackLimits, b: StackLimits): boolean =>
  a.cpus === b.cpus && a.memoryMb === b.memoryMb && a.diskGb === b.diskGb && a.bots === b.bots;

/** Every plan with its limits, for operators. */
export function PlanChoice({ value, onChange, now }: PlanChoiceProps) {
  const t = useT();
  const query = useQuery({ queryKey: keys.plans, queryFn: useApi().operator.plans });
  const option = ({ name, limits }: PlanSummary): string =>
    t(same(limits, now) ? 'stack.planOptionNow' : 'stack.planOption', {
      name,
      cores: t('stack.cpus', { count: limits.cpus }),
      memory: limits.memoryMb,
      disk: limits.diskGb,
      bots: limits.bots,
    });
  return (
    <Loaded query={query} failure={t('stack.plansFailed')}>
      {({ items }) => (
        <NativeSelect
          label={t('stack.resizePlan')}
          value={value}
          data={[
            { value: '', label: t('stack.planChoose'), disabled: true },
            ...items.map((plan) => ({ value: plan.code, label: option(plan) })),
          ]}
          onChange={(event) => onChange(event.currentTarget.value)}
        />
      )}
    </Loaded>
  );
}
