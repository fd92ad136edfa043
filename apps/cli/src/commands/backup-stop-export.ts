import type { Action } from '../frame/command.js';

export const EXPORT_VIEW = 'aviary/export/1';

/** Ends the download of a stack's backup that is under way, whoever began it; it can be begun anew. */
export const stopExport: Action = async (context, [slug = '']) => {
  const platform = await context.platform();
  const actor = await platform.operator();
  const { export: newest } = await platform.backups.list(actor, slug, { limit: 1 });
  if (newest?.state !== 'asked' && newest?.state !== 'sending') {
    context.output.result(EXPORT_VIEW, newest, `no backup of ${slug} is downloaded; nothing was done`);
    return;
  }
  const ended = await platform.exports.cancel(actor, slug, newest.id);
  context.output.result(EXPORT_VIEW, ended, `✓ the download of ${slug}, its data of ${ended.takenAt}, is stopped`);
};
