import { backupProblem, safeguards } from './backup-rules.js';

it('takes a backup of what may have a database to read, and guards a restore by one where it certainly has', () => {
  const seen = (['running', 'partial', 'failed', 'stopped', 'none'] as const).map((observed) => ({
    observed,
    problem: backupProblem({ observed, reasonCode: null }),
    guarded: safeguards({ observed, reasonCode: null }),
  }));
  expect(seen).toEqual([
    { observed: 'running', problem: null, guarded: true },
    { observed: 'partial', problem: null, guarded: false },
    { observed: 'failed', problem: null, guarded: false },
    { observed: 'stopped', problem: 'not_running', guarded: false },
    { observed: 'none', problem: 'not_running', guarded: false },
  ]);
});

it('FM-20 never takes an empty database for a backup', () => {
  for (const observed of ['running', 'failed'] as const) {
    const stack = { observed, reasonCode: 'DATA_MISSING' as const };
    expect([backupProblem(stack), safeguards(stack)]).toEqual(['data_missing', false]);
  }
});
