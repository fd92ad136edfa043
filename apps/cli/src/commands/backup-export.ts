import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { access, open, readFile, rename, rm } from 'node:fs/promises';
import { pour } from '#libs/async';
import { PASSPHRASE_BYTES, passphraseSchema, spelledPassphrase, type ExportView } from '#libs/contracts';
import type { Action, CommandContext } from '../frame/command.js';
import { EXIT, type ExitCode } from '../frame/exit-codes.js';
import { idOf } from '../frame/flags.js';
import { CommandError, type Output } from '../frame/output.js';
import type { Platform } from '../frame/platform.js';
import { firstLine, firstLineOfStdin, whileHeld } from '../frame/stdin.js';

export const EXPORT = 'aviary/backup-export/1';
const HEARTBEAT_MS = 15_000;
const LIVE_MS = 200;
/** Who reads standard output and stopped. */
const STALLED_MS = 3_600_000;

interface ExportFlags {
  backup?: string;
  output?: string;
  passphraseFile?: string;
  passphraseStdin?: boolean;
  heldByStdin?: boolean;
}

/** Downloads a backup as its owner can, to a file of this machine or to standard output. */
export const exportBackup: Action = async (context, [slug = ''], flags) => {
  const { output: path = `${slug}.tar.age`, heldByStdin, ...wish } = flags as ExportFlags;
  const wanted: Wanted = { slug, ...wish };
  if (path !== '-') {
    const given = await givenPassphrase(wish);
    return toFile(path, (write) => download(context, wanted, { given, said: context.output, write }));
  }
  // The archive is what stands on standard output, so everything said stands beside it.
  const said = context.output.aside();
  try {
    const given = await givenPassphrase(wish);
    const send = (gone?: AbortSignal): Promise<ExitCode> => toStdout(context, wanted, { given, said }, gone);
    return await (heldByStdin === true ? whileHeld(send) : send());
  } catch (error) {
    return said.failure(EXPORT, error);
  }
};

async function toStdout(
  context: CommandContext,
  wanted: Wanted,
  { given, said }: Pick<Target, 'given' | 'said'>,
  gone?: AbortSignal,
): Promise<ExitCode> {
  const closed = new AbortController();
  const leave = (error: Error): void => closed.abort(error);
  process.stdout.once('error', leave);
  const interrupted = AbortSignal.any([context.interrupted, closed.signal, ...(gone === undefined ? [] : [gone])]);
  const bounds = { stalledMs: STALLED_MS, signal: interrupted };
  try {
    const write: Write = (body) => pour(body, process.stdout, bounds);
    return await download({ ...context, interrupted }, wanted, { given, said, write });
  } finally {
    process.stdout.off('error', leave);
  }
}

type Write = (body: AsyncIterable<Uint8Array>) => Promise<void>;

interface Target {
  /** The passphrase, where it is not to be made here. */
  given: string | undefined;
  said: Output;
  write: Write;
}

interface Wanted {
  slug: string;
  backup?: string;
}

async function download(
  context: CommandContext,
  { slug, backup: wanted }: Wanted,
  { given, said, write }: Target,
): Promise<ExitCode> {
  const platform = await context.platform();
  const passphrase = given ?? spelledPassphrase(randomBytes(PASSPHRASE_BYTES));
  const asked = await ask(context, platform, slug, wanted);
  let bytes = 0;
  await platform.exports
    .send({ ticket: asked.ticket, passphrase }, context.interrupted, async (archive) => {
      ({ bytes } = archive);
      await write(toldProgress(said, slug, archive));
    })
    .catch((error: unknown) => {
      throw context.interrupted.aborted
        ? new CommandError(EXIT.interrupted, 'Interrupted; nothing of it is kept.')
        : error;
    });
  const { file, backup, takenAt } = asked.export;
  const lines = [
    `✓ ${slug} data of ${takenAt}, ${megabytes(bytes)} MB. Open it with: age --decrypt FILE | tar -x`,
    ...(given === undefined ? [`passphrase  ${passphrase}`] : []),
  ];
  // One that came from outside is known there; repeating it would only put it into a log.
  const told = given === undefined ? { passphrase } : {};
  said.result(EXPORT, { slug, backup, takenAt, file, bytes, ...told }, lines.join('\n'));
  if (given === undefined) {
    said.say('The passphrase is shown this once. Without it nobody opens the archive.');
  }
  return EXIT.done;
}

async function ask(
  { output }: CommandContext,
  platform: Platform,
  slug: string,
  wanted: string | undefined,
): Promise<{ export: ExportView; ticket: string }> {
  const actor = await platform.operator();
  if (wanted !== undefined) {
    return platform.exports.ask(actor, slug, idOf('backup', wanted));
  }
  const newest = await platform.backups.newestVerified(actor, slug);
  output.say(`the newest backup that counts: ${newest.id}, data of ${newest.takenAt}`);
  return platform.exports.ask(actor, slug, newest.id);
}

/** Undefined where none was given, so that one is made. */
async function givenPassphrase({ passphraseFile, passphraseStdin }: ExportFlags): Promise<string | undefined> {
  if (passphraseFile === undefined && passphraseStdin !== true) {
    return undefined;
  }
  const text =
    passphraseFile === undefined
      ? await firstLineOfStdin()
      : firstLine(
          await readFile(passphraseFile, 'utf8').catch((error: Error) => {
            throw new CommandError(EXIT.usage, `The passphrase cannot be read: ${error.message}`);
          }),
        );
  const passphrase = passphraseSchema.safeParse(text);
  if (!passphrase.success) {
    throw new CommandError(
      EXIT.usage,
      `passphrase: ${passphrase.error.issues.map(({ message }) => message).join(' ')}`,
    );
  }
  return passphrase.data;
}

/** Under another name until all of it is there, so that nobody takes a part of it for a backup. */
async function toFile(path: string, fill: (write: Write) => Promise<ExitCode>): Promise<ExitCode> {
  if (await exists(path)) {
    throw new CommandError(EXIT.usage, `${path} exists already; nothing was done.`);
  }
  const part = `${path}.part`;
  const file = await open(part, 'wx', 0o600).catch((error: Error) => {
    throw new CommandError(EXIT.usage, `It cannot be written: ${error.message}`);
  });
  try {
    const code = await fill(async (body) => {
      for await (const chunk of body) {
        await file.appendFile(chunk);
      }
      await file.sync();
      await file.close();
      await rename(part, path);
    });
    return code;
  } catch (error) {
    await file.close().catch(() => undefined); // Why it is not written is told; that it closes badly too is not news.
    await rm(part, { force: true });
    throw error;
  }
}

const exists = (path: string): Promise<boolean> =>
  access(path, constants.F_OK).then(
    () => true,
    () => false,
  );

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);

/** The archive as it is, with how far it came: on a terminal in place, elsewhere a line now and then. */
async function* toldProgress(
  said: Output,
  slug: string,
  { body, bytes }: { body: AsyncIterable<Uint8Array>; bytes: number },
): AsyncGenerator<Uint8Array> {
  let came = 0;
  const line = (): string => `${slug}  ${megabytes(came)} of ${megabytes(bytes)} MB`;
  const timer = setInterval(
    () => (said.live ? said.rewrite(line()) : said.say(line())),
    said.live ? LIVE_MS : HEARTBEAT_MS,
  );
  try {
    for await (const chunk of body) {
      came += chunk.length;
      yield chunk;
    }
  } finally {
    clearInterval(timer);
    said.rewrite('');
  }
}
