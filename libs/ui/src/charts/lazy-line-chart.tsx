import { lazy } from 'react';
import { arrived } from '../components/arrived.js';

export type { LineChartProps, LinePoint } from './line-chart.js';

/** The drawing and its library come when a page first shows a chart; give it a Suspense with a place of its height. */
export const LineChart = lazy(async () => ({ default: (await arrived(import('./line-chart.js'))).LineChart }));
