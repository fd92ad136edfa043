import type { Command } from 'commander';
import { handle, type Action, type Environment } from '../frame/command.js';
import { EXIT, type ExitCode } from '../frame/exit-codes.js';
import { CommandError } from '../frame/output.js';

const SCHEMA = 'aviary/audit-check/1';

const verify: Action = async (context): Promise<ExitCode> => {
  const { verifyAudit } = await import('#libs/audit');
  const platform = await context.platform();
  const report = await verifyAudit(platform.dataSource);
  const tail =
    report.unsealed.count === 0
      ? 'none wait for their seal'
      : `${report.unsealed.count} wait for their seal, the oldest since ${report.unsealed.oldestAt?.toISOString()}`;
  if (report.ok) {
    context.output.result(
      SCHEMA,
      report,
      `✓ ${report.sealed} entries fit their chain; ${tail}\nhead ${report.head.hash}`,
    );
    return EXIT.done;
  }
  for (const fault of report.faults) {
    context.output.say(`✗ ${fault.seq}  ${fault.kind}${'entryId' in fault ? `  ${fault.entryId}` : ''}`);
  }
  const count = report.faults.length;
  const problem = new CommandError(
    EXIT.problems,
    `The audit log was changed outside the platform: ${count} ${count === 1 ? 'place does' : 'places do'} not fit.`,
  );
  return context.output.failure(SCHEMA, problem, report);
};

export function auditCommands(program: Command, environment: Environment): void {
  const audit = program.command('audit').description('who did what');
  audit
    .command('verify')
    .description('check that no entry was edited, removed or moved')
    .action(handle(environment, SCHEMA, verify));
}
