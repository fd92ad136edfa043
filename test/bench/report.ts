import { execFile } from 'node:child_process';
import { cpus, release, totalmem } from 'node:os';
import { promisify } from 'node:util';

export interface Goal {
  metric: string;
  unit: string;
  /** As it reads, such as `≤ 1.0`. */
  goal: string;
  value: number;
  met: boolean;
}

export interface BenchResult {
  metrics: Record<string, number>;
  goals: Goal[];
  /** The same for people. */
  lines: string[];
  /** What must never be was: the exit code says so, which goals that are not met do not. */
  failed?: boolean;
}

export function machineOf(): { cpus: number; model: string; memoryGb: number; kernel: string; node: string } {
  return {
    cpus: cpus().length,
    model: cpus()[0]?.model.trim() ?? 'unknown',
    memoryGb: Math.round(totalmem() / 1024 ** 3),
    kernel: release(),
    node: process.versions.node,
  };
}

export async function commitOf(): Promise<string> {
  const { stdout } = await promisify(execFile)('git', ['describe', '--always', '--dirty']);
  return stdout.trim();
}

export const round = (value: number, digits = 0): number => Math.round(value * 10 ** digits) / 10 ** digits;

/** The q-quantile by linear interpolation (R-7; Hyndman and Fan, 1996). */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (sorted.length - 1) * q;
  const low = sorted[Math.floor(at)] ?? Number.NaN;
  const high = sorted[Math.ceil(at)] ?? Number.NaN;
  return low + (high - low) * (at - Math.floor(at));
}

export const median = (values: readonly number[]): number => quantile(values, 0.5);

export function atMost(metric: string, unit: string, limit: number, value: number): Goal {
  return { metric, unit, goal: `≤ ${limit}`, value, met: value <= limit };
}
