import type { QueryRunner } from 'typeorm';

/**
 * Runs the statements of a migration in order. A lock that is not had in 5 s fails the migration instead of queueing
 * every query of the running platform behind it.
 */
export async function runStatements(runner: QueryRunner, statements: readonly string[]): Promise<void> {
  await runner.query(`set local lock_timeout = '5s'`);
  for (const statement of statements) {
    await runner.query(statement);
  }
}
