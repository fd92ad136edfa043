import type { AgentFigures } from '../../apps/agent/src/metrics.js';

/** Of an agent that works and has found nothing wrong. */
export const WELL: AgentFigures = {
  active: true,
  proxy: { mismatches: 0, repairs: { file: 0, restart: 0 }, routes: null },
  routeLagMs: 340,
  passedAt: null,
  pass: null,
  room: [{ resource: 'memory', unit: 'MiB', used: 3, limit: 4, share: 0.75, level: 'ok', todo: null }],
};
