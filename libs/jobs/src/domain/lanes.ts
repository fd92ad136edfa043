import { engineIdSchema, JOBS, type JobName } from '#libs/contracts';

/** The queue a job waits in: its name, and for a job bound to an engine that engine's own. */
export function laneOf(name: JobName, engineId?: string): string {
  if (!JOBS[name].perEngine) {
    return name;
  }
  if (engineId === undefined) {
    throw new Error(`Job ${name} runs on an engine: say which`);
  }
  return `${name}.${engineIdSchema.parse(engineId)}`;
}

/** Which process handles which jobs: the agent those of its engine, the worker all others. */
export function jobsOf(process: 'worker' | 'agent'): JobName[] {
  return (Object.keys(JOBS) as JobName[]).filter((name) => JOBS[name].perEngine === (process === 'agent'));
}

/** What is wrong with a list of handlers for a set of jobs; empty when each job has exactly one. */
export function handlerProblems(declared: readonly JobName[], handled: readonly JobName[]): string[] {
  const count = (name: JobName): number => handled.filter((other) => other === name).length;
  return [
    ...declared.filter((name) => count(name) === 0).map((name) => `no handler for ${name}`),
    ...[...new Set(handled)].filter((name) => count(name) > 1).map((name) => `${count(name)} handlers for ${name}`),
    ...[...new Set(handled)]
      .filter((name) => !declared.includes(name))
      .map((name) => `a handler for ${name}, which is not this process’s`),
  ];
}
