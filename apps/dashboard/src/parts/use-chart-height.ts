import { useMediaQuery } from '@mantine/hooks';

/** A phone keeps 240 px for a chart, however small the page. */
export function useChartHeight(desk: number): number {
  const phone = useMediaQuery('(max-width: 640px)', false, { getInitialValueInEffect: false });
  return phone ? 240 : desk;
}
