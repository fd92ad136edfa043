import { mkdtemp, rm } from 'node:fs/promises';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import type { PresentCounts } from '#libs/contracts';
import { EngineEntity, OperationEntity, TenantEntity } from '#libs/db';
import { countsAnswer } from '../../apps/agent/src/counts-answer.js';
import { startPrivateServer } from '../../apps/agent/src/private-server.js';
import { insertBackup } from '../support/backup-rows.js';
import { person, stackOf, type TestPerson } from '../support/api.js';
import { LOOKS, portalBrowser, type PortalBrowser } from '../support/portal-browser.js';

/** Backups as their owner and operators see them, in a real browser. No agent runs here: its rows are written by hand. */
jest.setTimeout(120_000);

const HOUR = 3_600_000;
let portal: PortalBrowser;
let owner: TestPerson;
let page: Page;
let stack: { id: string; slug: string };
let home: string;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'aviary-pages-'));
  portal = await portalBrowser({ AVIARY_AGENT_SOCKET: join(home, 'agent.sock') });
  owner = await person(portal.t);
  stack = await running(owner);
  page = await portal.open();
}, 180_000);
afterAll(async () => {
  await portal?.close();
  await rm(home, { recursive: true, force: true });
});

/** The agent's private port, where it counts by what it is told here: test/int/restore-loss.spec.ts counts for real. */
async function counting(read: (id: string) => Promise<PresentCounts>): Promise<() => void> {
  const nothing = (): Promise<never> => Promise.reject(new Error('not asked here'));
  const counts = countsAnswer(() => ({ read }));
  const server: Server = await startPrivateServer(join(home, 'agent.sock'), nothing, nothing, { counts });
  return () => {
    server.closeAllConnections();
    server.close();
  };
}

const db = () => portal.t.db.dataSource;
const ago = (hours: number): Date => new Date(Date.now() - hours * HOUR);

async function running(of: TestPerson): Promise<{ id: string; slug: string }> {
  const accepted = await stackOf(portal.t, of);
  await end(accepted.operation.id, 'done');
  await seen(accepted.stack.id, { observed: 'running' });
  return accepted.stack;
}

/** What its agent sees of a stack. */
const seen = (id: string, of: Partial<TenantEntity>): Promise<unknown> =>
  db().manager.update(
    TenantEntity,
    { id },
    { reason: null, reasonCode: null, checkedAt: new Date(), observedSince: new Date(), ...of },
  );

const end = (operationId: string, state: string): Promise<unknown> =>
  db().query(`update operations set state = $2, started_at = now(), finished_at = now() where id = $1`, [
    operationId,
    state,
  ]);

const openOf = (kind: 'backup' | 'restore' | 'undo_restore'): Promise<OperationEntity> =>
  db().manager.findOneByOrFail(OperationEntity, { tenantId: stack.id, kind, state: 'queued' });

const take = (on: Page) => on.getByRole('button', { name: 'Back up now' });

it('takes the first backup, follows it through its steps and says that it counts only once it is checked', async () => {
  await portal.signIn(page, owner, '/app');
  await page.getByRole('link', { name: 'Backups', exact: true }).first().click();
  await page.waitForURL('**/app/backups');
  await page.getByText('No backup yet').first().waitFor();
  await portal.assertSound(page, 'backups-none');
  await page.getByRole('checkbox', { name: 'with logs' }).check();
  await take(page).click();
  await page.getByText('Queued').first().waitFor();
  expect(await take(page).isDisabled()).toBe(true);
  const { id, input } = await openOf('backup');
  expect(input).toEqual({ reason: 'manual', logs: true });
  await page.getByRole('link', { name: 'Follow' }).click();
  await page.waitForURL(`**/app/operations/${id}`);
  for (const phase of [
    'Write out the database whole',
    'Store all of it, and read it back',
    'Restore it beside the stack and compare',
  ]) {
    await page.getByText(phase).waitFor();
  }
  await portal.assertSound(page, 'backups-operation');
  await page.goto(`${portal.origin}/app/backups`);

  // as far as its agent comes
  const begun = new Date();
  await db().query(`update operations set state = 'running', started_at = now() where id = $1`, [id]);
  const backup = await insertBackup(db(), stack, 'taking', { operationId: id, at: begun });
  await page.getByText('Being taken…').waitFor();
  const moved = (state: string): Promise<unknown> =>
    db().query(
      `update backups set state = $2, taken_at = begun_at, dumped_at = now(), stored_at = now(), verified_at = now() where id = $1`,
      [backup, state],
    );
  await moved('stored');
  await page.getByText('Stored', { exact: true }).waitFor();
  expect(await page.getByRole('button', { name: 'Restore…' }).count()).toBe(0);
  await moved('verified');
  await end(id, 'done');
  await page.getByText('Restored and checked', { exact: true }).waitFor();
  await page.getByText(/^Restored and checked: \d\d:\d\d$/).waitFor();
  await page.getByRole('button', { name: 'Restore…' }).waitFor();
  // A night that found nothing changed restored nothing: the time is that of the check, and beside it is what was found.
  await db().query(
    `update backups set taken_at = now() - interval '74 h', verified_at = now() - interval '73 h', same_until = now()`,
  );
  await page.reload();
  const unchanged = page.getByText(/^Nothing changed until \d\d:\d\d$/);
  const checked = page.getByText(/^Restored and checked: .*\d\d:\d\d$/);
  await unchanged.waitFor();
  const [time] = /\d\d:\d\d$/.exec(await unchanged.innerText()) ?? [];
  expect(await checked.innerText()).not.toMatch(new RegExp(`: ${time}$`));
  await portal.assertSound(page, 'backups-unchanged');
  await page.goto(`${portal.origin}/app`);
  await page.getByRole('link', { name: /^Restored and checked: .*\d\d:\d\d$/ }).waitFor();
  await unchanged.waitFor();
  await db().query('delete from backups');
});

it('FM-21 tells that the newest backup failed and why, and what is safe all the same', async () => {
  await insertBackup(db(), stack, 'verified', { at: ago(50), reason: 'safety', fills: 28, bots: 1 });
  await insertBackup(db(), stack, 'verified', { at: ago(26), reason: 'schedule' });
  await insertBackup(db(), stack, 'dumped', { at: ago(20) });
  await insertBackup(db(), stack, 'stored', {
    at: ago(4),
    error: { code: 'BACKUP_UNVERIFIED', message: 'public.bots has 2 rows instead of 3.' },
  });
  await insertBackup(db(), stack, 'failed', {
    at: ago(2),
    error: { code: 'REPOSITORY_FAILED', message: 'The storage answered 500 three times.' },
  });
  await page.goto(`${portal.origin}/app/backups`);
  await page.getByText('The newest backup failed').waitFor();
  expect(await page.getByText('The storage answered 500 three times.').count()).toBe(2);
  await page.getByText('is safe all the same', { exact: false }).waitFor();
  const rows = page.getByRole('row');
  await rows.nth(5).waitFor();
  const texts = await rows.allInnerTexts();
  expect(
    texts.slice(1).map((text) => /Restored and checked|Stored, not checked|Broken off|Failed/.exec(text)?.[0]),
  ).toEqual(['Failed', 'Stored, not checked', 'Broken off', 'Restored and checked', 'Restored and checked']);
  expect(await page.getByRole('button', { name: 'Restore…' }).count()).toBe(2);
  await portal.assertSound(page, 'backups');
  await page.goto(`${portal.origin}/app`);
  await page.getByText('The newest try failed.').waitFor();
  await page.getByRole('link', { name: /^Restored and checked: / }).click();
  await page.waitForURL(`**/app/stacks/${stack.slug}/backups`);
});

it('restores only after saying what is lost and having the stack named', async () => {
  await page.goto(`${portal.origin}/app/backups`);
  const dialog = page.getByRole('dialog');
  await page.getByRole('button', { name: 'Restore…' }).last().click();
  await dialog
    .getByText(/^Among it, as the newest backup of .+ counts: 12 fills, 1 bot\. What came after that backup could not/)
    .waitFor();
  await portal.assertSound(page, 'backups-restore');
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  const button = page.getByRole('button', { name: 'Restore…' }).first();
  await button.click();
  await dialog.getByText(/^Everything that came after .+ is lost, 26 hours of it/).waitFor();
  await dialog.getByText('is backed up first', { exact: false }).waitFor();
  const confirm = dialog.getByRole('button', { name: 'Restore backup' });
  expect(await confirm.isDisabled()).toBe(true);
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  expect(await db().manager.countBy(OperationEntity, { kind: 'restore' })).toBe(0);

  await button.click();
  await dialog.getByRole('textbox').fill(stack.slug);
  await confirm.click();
  await page.waitForURL('**/app/operations/*');
  const restore = await openOf('restore');
  expect(page.url()).toContain(restore.id);
  await page.getByText('Load the backup beside the stack and compare').waitFor();
  await page.getByText('Put the loaded data in place').waitFor();
  await portal.assertSound(page, 'backups-restoring');
  await page.getByRole('button', { name: 'Cancel operation' }).click();
  await dialog.getByText('The stack itself was not touched yet and stays as it is.').waitFor();
  await dialog.getByRole('button', { name: 'Cancel', exact: true }).click();
  await page.goto(`${portal.origin}/app/backups`);
  await page.getByRole('link', { name: 'Follow' }).waitFor();
  expect([
    await take(page).isDisabled(),
    await page.getByRole('button', { name: 'Restore…' }).first().isDisabled(),
  ]).toEqual([true, true]);
  await end(restore.id, 'done');
  await db().query(`update operation_steps set state = 'done', finished_at = now() where operation_id = $1`, [
    restore.id,
  ]);
});

it('counts what a restore loses when it is asked for, and asks nobody to wait for the count', async () => {
  let counted = Promise.withResolvers<PresentCounts>();
  const asked: string[] = [];
  const stop = await counting((id) => {
    asked.push(id);
    return counted.promise;
  });
  await page.goto(`${portal.origin}/app/backups`);
  const dialog = page.getByRole('dialog');
  const confirm = dialog.getByRole('button', { name: 'Restore backup' });
  // The newest that counts: no later backup knows what it loses.
  const open = () => page.getByRole('button', { name: 'Restore…' }).first().click();
  const close = () => dialog.getByRole('button', { name: 'Cancel' }).click();
  await open();
  await dialog.getByText('Counting what is lost…').waitFor();
  await dialog.getByRole('textbox').fill(stack.slug);
  expect(await confirm.isEnabled()).toBe(true);
  counted.resolve({ at: new Date().toISOString(), counts: { fills: 52, orders: 1, bots: 2 } });
  await dialog.getByText('Among it, counted just now: 12 fills, 1 order.').waitFor();
  expect(asked).toEqual([stack.id]);
  await portal.assertSound(page, 'backups-restore-counted');
  await close();

  counted = Promise.withResolvers();
  counted.resolve({ at: new Date().toISOString(), counts: { fills: 40, bots: 2 } });
  await open();
  await dialog.getByText('Among it, counted just now: no fill, order or bot.').waitFor();
  await close();
  stop();

  await open();
  await dialog
    .getByText(/^Among it, as the newest backup of .+ counts: no fill, order or bot\. What came after/)
    .waitFor();
  await close();
  await page.route('**/loss', (route) =>
    route.fulfill({
      status: 500,
      json: { code: 'INTERNAL', message: 'Something went wrong on our side.', errorId: 'e1', details: {} },
    }),
  );
  await open();
  await dialog.getByText('How much that is could not be counted.').waitFor();
  await dialog.getByRole('textbox').fill(stack.slug);
  expect(await confirm.isEnabled()).toBe(true);
  await close();
  await page.unrouteAll();
});

it('tells that what a restore took the place of is kept, and goes back to it only when the stack is named', async () => {
  await db().query(`update tenants set kept_epochs = '{1}', epoch = 2 where id = $1`, [stack.id]);
  await page.goto(`${portal.origin}/app/backups`);
  await page.getByText('What was there before is kept until the next good backup', { exact: false }).waitFor();
  await page.getByRole('button', { name: 'Undo the restore…' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByText(/^Everything since the restore at .+ is lost/).waitFor();
  await portal.assertSound(page, 'backups-undo');
  const confirm = dialog.getByRole('button', { name: 'Undo restore' });
  expect(await confirm.isDisabled()).toBe(true);
  await dialog.getByRole('textbox').fill(stack.slug);
  await confirm.click();
  await page.waitForURL('**/app/operations/*');
  const { id } = await openOf('undo_restore');
  expect(page.url()).toContain(id);
  await page.getByText('Look whether what was there before is kept').waitFor();
  await end(id, 'done');
  await db().query(`update tenants set kept_epochs = '{}' where id = $1`, [stack.id]);
});

it('makes a copy after saying what it holds, and lets it trade from its page only when it is named', async () => {
  await db().query('update plans set stacks = 2');
  await page.goto(`${portal.origin}/app/stacks/${stack.slug}/backups`);
  await page.getByRole('button', { name: 'Clone…' }).first().click();
  const dialog = page.getByRole('dialog');
  await dialog.getByText('It holds 40 fills, 2 bots, as the backup counts.').waitFor();
  await dialog.getByText('Nothing of it trades until you allow that', { exact: false }).waitFor();
  await portal.assertSound(page, 'backups-clone');
  await dialog.getByRole('button', { name: 'Clone backup' }).click();
  await page.waitForURL('**/app/operations/*');
  const clone = await db().manager.findOneByOrFail(OperationEntity, { kind: 'clone', state: 'queued' });
  expect(page.url()).toContain(clone.id);
  await end(clone.id, 'done');
  await seen(clone.tenantId, { observed: 'running' });
  await page.goto(`${portal.origin}/app/stacks/${clone.slug}`);
  await page.getByText(`A copy of ${stack.slug}`, { exact: false }).waitFor();
  await portal.assertSound(page, 'stack-copy');
  await page.getByRole('button', { name: 'Allow trading…' }).click();
  await dialog.getByText('both trade on it', { exact: false }).waitFor();
  const confirm = dialog.getByRole('button', { name: 'Allow trading' });
  expect(await confirm.isDisabled()).toBe(true);
  await dialog.getByRole('textbox').fill(clone.slug);
  await confirm.click();
  await page.waitForURL('**/app/operations/*');
  expect(
    await db().manager.findOneByOrFail(OperationEntity, { tenantId: clone.tenantId, state: 'queued' }),
  ).toMatchObject({ kind: 'restart', input: { allowTrading: true } });
  await db().query('delete from tenants where id = $1', [clone.tenantId]);
});

it('says why none can be taken of a stack that rests, and leads from data that is gone to what brings it back', async () => {
  await seen(stack.id, { observed: 'stopped', desired: 'stopped' });
  await page.goto(`${portal.origin}/app/backups`);
  await page.getByText('Start it to take a new one', { exact: false }).waitFor();
  expect(await take(page).isDisabled()).toBe(true);
  await page.getByRole('button', { name: 'Restore…' }).first().click();
  await page.getByText('cannot be backed up first', { exact: false }).waitFor();

  await seen(stack.id, {
    observed: 'failed',
    desired: 'running',
    reason: 'The stack found an empty database where its own should be.',
    reasonCode: 'DATA_MISSING',
  });
  await page.goto(`${portal.origin}/app`);
  await page.getByText('Needs attention').first().waitFor();
  await portal.assertSound(page, 'backups-data-missing');
  await page.getByRole('link', { name: 'Restore…' }).click();
  await page.waitForURL(`**/app/stacks/${stack.slug}/backups`);
  await page.getByText('there is nothing to back up', { exact: false }).waitFor();
  await page.getByRole('button', { name: 'Restore…' }).first().waitFor();
});

it('is accessible and never scrolls sideways, and says what failed to load with a way to try again', async () => {
  for (const { name: _name, ...look } of LOOKS) {
    const looked = await portal.open(look);
    await portal.signIn(looked, owner, '/app/backups');
    await looked.getByText('Stored, not checked').waitFor();
    await portal.assertSound(looked);
    await looked.route(`**/api/v1/stacks/${stack.slug}/backups*`, (route) =>
      route.fulfill({
        status: 500,
        json: { code: 'INTERNAL', message: 'Something went wrong on our side.', errorId: 'e1', details: {} },
      }),
    );
    await looked.goto(`${portal.origin}/app/stacks/${stack.slug}/backups`);
    await looked.getByText('The backups could not be loaded').waitFor();
    await portal.assertSound(looked);
    await looked.unrouteAll();
    await looked.getByRole('button', { name: 'Try again' }).click();
    await looked.getByText('Stored, not checked').waitFor();
    await looked.context().close();
  }
});

/** Makes a copy there, which an operator may where there are several hosts. */
async function onAnotherHost(console_: Page, of: { slug: string }): Promise<void> {
  await db().query('update plans set stacks = 2');
  const [own] = await db().manager.find(EngineEntity);
  const heard = async (id: string, seenAt: Date): Promise<unknown> =>
    db().manager.save(Object.assign(new EngineEntity(), own, { id, createdAt: seenAt, seenAt }));
  await heard('north', new Date());
  await heard('south', ago(1));
  await console_.goto(`${portal.origin}/console/stacks/${of.slug}/backups`);
  await console_.getByRole('button', { name: 'Clone…' }).first().click();
  const dialog = console_.getByRole('dialog');
  const host = dialog.getByRole('combobox', { name: 'On the host' });
  await host.waitFor();
  expect(await host.locator('option').allInnerTexts()).toEqual([
    `${own!.id}, as ${of.slug}`,
    'north',
    'south: its agent is silent',
  ]);
  expect(await host.locator('option').nth(2).isDisabled()).toBe(true);
  await host.selectOption('north');
  await portal.assertSound(console_, 'backups-clone-host');
  await heard('north', new Date());
  await dialog.getByRole('button', { name: 'Clone backup' }).click();
  await console_.waitForURL('**/operations/*');
  expect(
    await db().manager.findOneByOrFail(OperationEntity, { kind: 'clone', state: 'queued', engineId: 'north' }),
  ).toMatchObject({ input: expect.objectContaining({ backup: expect.any(String) as string }) as object });
}

it('shows operators every stack, the least safe first, and leads to its backups', async () => {
  const other = await person(portal.t);
  const without = await running(other);
  const operator = await person(portal.t, 'operator');
  // Of the stack with backups the newest that counts is older than that.
  await db().query('update plans set backup_max_age_hours = 25');
  const console_ = await portal.open();
  await portal.signIn(console_, operator, '/console');
  await console_.getByText('0 of 2 stacks', { exact: true }).waitFor();
  await console_.getByRole('link', { name: without.slug, exact: true }).first().waitFor();
  await portal.assertSound(console_, 'backups-overview');
  await console_.getByRole('link', { name: 'All backups', exact: true }).first().click();
  await console_.waitForURL('**/console/backups');
  await console_.getByText('0 of 2 stacks safe as lately as their plans ask').waitFor();
  await console_.getByText('1 without any', { exact: false }).waitFor();
  const rows = console_.getByRole('row');
  await rows.nth(2).waitFor();
  const texts = await rows.allInnerTexts();
  expect([texts[1], texts[2]]).toEqual([expect.stringContaining(without.slug), expect.stringContaining(stack.slug)]);
  expect(texts[2]).toContain('The storage answered 500 three times.');
  expect(texts[2]).toContain('25 hours');
  await portal.assertSound(console_, 'backups-console');
  await insertBackup(db(), without, 'verified', { at: ago(1) });
  await console_.getByText('1 of 2 stacks safe as lately as their plans ask').waitFor();
  await console_.getByRole('link', { name: stack.slug }).click();
  await console_.waitForURL(`**/console/stacks/${stack.slug}/backups`);
  await console_.getByText('Stored, not checked').waitFor();

  await onAnotherHost(console_, without);
  await console_.context().close();
  expect(portal.complaints).toEqual([]);
});
