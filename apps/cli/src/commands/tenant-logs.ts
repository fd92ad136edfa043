import { serviceNameSchema, type StackLogLine } from '#libs/contracts';
import type { Action, CommandContext } from '../frame/command.js';
import { EXIT } from '../frame/exit-codes.js';
import { CommandError } from '../frame/output.js';

export const LOGS = 'aviary/tenant-logs/1';

interface LogFlags {
  service?: string;
  tail: number;
  q?: string;
  follow: boolean;
}

/** Milliseconds are enough for a person; --json has all digits. */
const human = ({ at, stream, text }: StackLogLine): string =>
  `${at.slice(0, 23)}Z ${stream === 'err' ? '! ' : ''}${text}`;

export const logs: Action = async (context, [slug = ''], flags) => {
  const { follow, ...wish } = flags as unknown as LogFlags;
  if (wish.service !== undefined && !serviceNameSchema.safeParse(wish.service).success) {
    throw new CommandError(EXIT.usage, `${wish.service} is no name of a service.`);
  }
  const platform = await context.platform();
  const actor = await platform.operator();
  if (follow) {
    // Without a terminal nobody's Ctrl-C reaches this process in its container, so it ends by itself.
    const limit = AbortSignal.timeout(context.options.timeout * 1_000);
    const signal = context.mayAsk ? context.interrupted : AbortSignal.any([context.interrupted, limit]);
    await printed(context, platform.logs.follow(actor, slug, wish, signal));
    return context.interrupted.aborted ? EXIT.interrupted : EXIT.unfinished;
  }
  const log = await platform.logs.read(actor, slug, wish);
  context.output.result(LOGS, log, log.items.map(human).join('\n'));
  if (wish.q !== undefined) {
    context.output.say(`${log.items.length} of ${log.searched} lines`);
  }
  return EXIT.done;
};

async function printed(
  { output }: CommandContext,
  batches: AsyncIterable<{ lines: StackLogLine[]; dropped: number; ended: boolean }>,
): Promise<void> {
  let over = false;
  for await (const { lines, dropped, ended } of batches) {
    if (dropped > 0) {
      output.result(LOGS, { dropped }, `… ${dropped} lines missing: they came faster than they were read …`);
    }
    for (const line of lines) {
      output.result(LOGS, line, human(line));
    }
    over &&= lines.length === 0;
    if (ended && !over) {
      // said once: whoever follows asks each second whether it is there again
      over = true;
      output.say('the service has stopped; waiting for its next start');
    }
  }
}
