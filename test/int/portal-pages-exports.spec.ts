import { mkdtemp, readFile, rm } from 'node:fs/promises';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { Page } from 'playwright-core';
import { pino } from 'pino';
import { DomainError } from '#libs/contracts';
import { ExportEntity, TenantEntity } from '#libs/db';
import { exportAnswer } from '../../apps/agent/src/export-answer.js';
import { startPrivateServer } from '../../apps/agent/src/private-server.js';
import { person, stackOf, type TestPerson } from '../support/api.js';
import { insertBackup } from '../support/backup-rows.js';
import { LOOKS, portalBrowser, type PortalBrowser } from '../support/portal-browser.js';

/** Downloads of backups as their owner sees them, in a real browser. What is read of a repository is made up here. */
jest.setTimeout(60_000);

const HOUR = 3_600_000;
let home: string;
let portal: PortalBrowser;
let agent: Server;
let owner: TestPerson;
let page: Page;
let stack: { id: string; slug: string };
let backup: string;
/** What the agent was asked for, and gives. */
let asked: { id: string; passphrase: string }[] = [];
let archive: () => Promise<{ stream: Readable; bytes: number }>;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'aviary-export-page-'));
  const socket = join(home, 'agent.sock');
  agent = await startPrivateServer(
    socket,
    () => Promise.resolve({ ok: true, checks: {} }),
    () => Promise.resolve(''),
    {
      exports: exportAnswer(
        () => ({
          start: (id, passphrase) => {
            asked.push({ id, passphrase });
            return archive();
          },
        }),
        pino({ level: 'silent' }),
      ),
    },
  );
  portal = await portalBrowser({ AVIARY_AGENT_SOCKET: socket });
  owner = await person(portal.t);
  const accepted = await stackOf(portal.t, owner);
  await db().query(`update operations set state = 'done', started_at = now(), finished_at = now()`);
  stack = accepted.stack;
  await db().manager.update(
    TenantEntity,
    { id: stack.id },
    { observed: 'running', checkedAt: new Date(), observedSince: new Date(Date.now() - 50 * HOUR) },
  );
  backup = await insertBackup(db(), stack, 'verified', { at: new Date(Date.now() - 9 * HOUR) });
  page = await portal.open({ acceptDownloads: true });
}, 180_000);
afterAll(async () => {
  await portal?.close();
  agent.closeAllConnections();
  agent.close();
  await rm(home, { recursive: true, force: true });
});
beforeEach(() => {
  asked = [];
  archive = () => Promise.resolve({ stream: Readable.from([Buffer.from('sealed')]), bytes: 6 });
});

const db = () => portal.t.db.dataSource;
const dialog = () => page.getByRole('dialog');
const button = () => dialog().getByRole('button', { name: 'Download backup' });

async function opened(): Promise<string> {
  await page.getByRole('button', { name: 'Download…' }).first().click();
  const field = dialog().getByLabel('Passphrase of the file');
  await field.waitFor();
  return field.inputValue();
}

it('gives a backup to the browser after its passphrase was put away and the password was typed, by keyboard alone', async () => {
  await portal.signIn(page, owner, '/app/backups');
  const passphrase = await opened();
  expect(passphrase).toMatch(/^([a-z2-9]{5}-){4}[a-z2-9]{5}$/);
  await dialog().getByText('as one file of about 3.8 MB', { exact: false }).waitFor();
  await portal.assertSound(page, 'export-dialog');
  expect(await button().isDisabled()).toBe(true);
  await dialog().getByLabel('I have put the passphrase away').focus();
  await page.keyboard.press('Space');
  expect(await button().isDisabled()).toBe(true);
  await page.keyboard.press('Tab');
  await page.keyboard.type('not my password');
  await page.keyboard.press('Enter');
  await dialog().getByText('This is not the password of your account.').waitFor();
  await portal.assertSound(page, 'export-refused');
  expect(asked).toEqual([]);
  await dialog().getByLabel('Password of your account').fill(owner.password);
  const [download] = await Promise.all([page.waitForEvent('download'), page.keyboard.press('Enter')]);
  expect(download.suggestedFilename()).toMatch(new RegExp(`^${stack.slug}-\\d{8}T\\d{6}Z\\.tar\\.age$`));
  expect(download.url()).toBe(`${portal.origin}/api/v1/exports`);
  expect(await readFile(await download.path(), 'utf8')).toBe('sealed');
  const [row] = await db().manager.find(ExportEntity);
  expect(row).toMatchObject({ backupId: backup, tenantId: stack.id });
  expect(asked).toEqual([{ id: row!.id, passphrase }]);
  await page.getByText('was sent whole: 6 bytes. Check that your file has as many', { exact: false }).waitFor();
  await portal.assertSound(page, 'export-sent');
  // The page stayed, and another download has another passphrase.
  expect(page.url()).toBe(`${portal.origin}/app/backups`);
  expect(await opened()).not.toBe(passphrase);
  await page.keyboard.press('Escape');
});

it('says of one that its reader left no more than how much was sent', async () => {
  archive = () => Promise.resolve({ stream: Readable.from([Buffer.alloc(100_000)]), bytes: 100_000 });
  await opened();
  await dialog().getByLabel('I have put the passphrase away').check();
  await dialog().getByLabel('Password of your account').fill(owner.password);
  const [download] = await Promise.all([page.waitForEvent('download'), button().click()]);
  await download.cancel();
  await page
    .getByText(/was sent whole: 100\s000 bytes|broke off/)
    .first()
    .waitFor();
  expect(await page.getByText('downloaded whole', { exact: false }).count()).toBe(0);
});

it('stops one that is under way', async () => {
  const stream = new Readable({ read: () => undefined });
  stream.push(Buffer.alloc(100_000));
  archive = () => Promise.resolve({ stream, bytes: 200_000 });
  await opened();
  await dialog().getByLabel('I have put the passphrase away').check();
  await dialog().getByLabel('Password of your account').fill(owner.password);
  const [download] = await Promise.all([page.waitForEvent('download'), button().click()]);
  await page.getByText('is being downloaded', { exact: false }).waitFor();
  await portal.assertSound(page, 'export-sending');
  await page.getByRole('button', { name: 'Stop the download' }).click();
  await page.getByText('It was stopped by its owner', { exact: false }).waitFor();
  expect(await page.getByRole('button', { name: 'Stop the download' }).count()).toBe(0);
  await portal.assertSound(page, 'export-stopped');
  await download.cancel();
  stream.destroy();
});

it('says what went wrong with one that was refused, and of one that broke off that it is not whole', async () => {
  const send = async (): Promise<void> => {
    await dialog().getByLabel('Passphrase of the file').fill('my own long passphrase');
    await dialog().getByLabel('I have put the passphrase away').check();
    await dialog().getByLabel('Password of your account').fill(owner.password);
    await button().click();
  };
  archive = () => Promise.reject(new DomainError('REPOSITORY_FAILED', { message: 'The storage answered 500.' }));
  await opened();
  await send();
  await page.getByText('The storage answered 500.').waitFor();
  await page.getByText('broke off', { exact: false }).first().waitFor();
  expect(page.url()).toBe(`${portal.origin}/app/backups`);
  await portal.assertSound(page, 'export-failed');
  const begun = Promise.withResolvers<void>();
  archive = () => {
    const stream = Readable.from(
      (async function* () {
        yield Buffer.alloc(100_000);
        await begun.promise;
        throw new Error('a damaged pack');
      })(),
    );
    return Promise.resolve({ stream, bytes: 200_000 });
  };
  await page.getByRole('button', { name: 'Download again…' }).click();
  const [download] = await Promise.all([page.waitForEvent('download'), send()]);
  begun.resolve();
  expect(await download.failure()).not.toBeNull();
  await page.getByText('what came is not all of it', { exact: false }).waitFor();
  expect(asked.map(({ passphrase }) => passphrase)).toEqual(['my own long passphrase', 'my own long passphrase']);
});

const seen = (of: Partial<TenantEntity>) => db().manager.update(TenantEntity, { id: stack.id }, of);
const minutesAgo = (minutes: number): Date => new Date(Date.now() - minutes * 60_000 - 10_000);
async function toDestroy(): Promise<void> {
  await page.goto(`${portal.origin}/app/stacks/${stack.slug}`);
  await page.getByRole('button', { name: 'More actions' }).click();
  await page.getByRole('menuitem', { name: 'Destroy…' }).click();
}

it('offers to keep everything before a stack is destroyed, with how old the newest backup is by the portal’s clock', async () => {
  await page.clock.setSystemTime(Date.now() - 2 * HOUR);
  await toDestroy();
  await dialog().getByText('9 hours old; the stack goes on writing, and what came since is in none').waitFor();
  await portal.assertSound(page, 'destroy-keep-first');
  await dialog().getByRole('link', { name: 'Download everything first' }).click();
  await page.waitForURL(`**/app/stacks/${stack.slug}/backups?keep=true`);
  await page.getByText('9 hours old, and the stack goes on writing', { exact: false }).waitFor();
  await portal.assertSound(page, 'keep-everything');
  await insertBackup(db(), stack, 'verified', { at: minutesAgo(3) });
  await page.getByText('3 minutes old, and the stack goes on writing', { exact: false }).waitFor();
  const keep = page.locator('section', { hasText: 'Download everything' });
  await keep.getByRole('button', { name: 'Back up now' }).waitFor();
  await keep.getByRole('button', { name: /^Download the data of .+…$/ }).click();
  await dialog().getByLabel('Passphrase of the file').waitFor();
  await page.keyboard.press('Escape');
  await page.clock.setSystemTime(Date.now());
});

it('says of a stack that was stopped how much of it is in no backup, and starts it for one', async () => {
  await db().query('delete from backups');
  await insertBackup(db(), stack, 'verified', { at: minutesAgo(15) });
  await seen({ desired: 'stopped', observed: 'stopped', observedSince: minutesAgo(1) });
  await toDestroy();
  await dialog()
    .getByText('14 minutes before it was stopped; what came between is in none', { exact: false })
    .waitFor();
  await portal.assertSound(page, 'destroy-stopped');
  await dialog().getByRole('link', { name: 'Download everything first' }).click();
  await page.getByText('14 minutes before the stack was stopped', { exact: false }).waitFor();
  await page.getByText('Start it and back up now to have that too.', { exact: false }).waitFor();
  await portal.assertSound(page, 'keep-stopped');
  await page.getByRole('button', { name: 'Start it' }).click();
  await page.getByRole('button', { name: 'Start it' }).waitFor({ state: 'detached' });
  expect(await db().query(`select kind from operations where state = 'queued'`)).toEqual([{ kind: 'start' }]);
  await db().query(`update operations set state = 'done', started_at = now(), finished_at = now()`);
  await seen({ desired: 'running', observed: 'running' });
  await db().query('delete from backups');
  await page.reload();
  await page.getByText('No backup of this stack counts yet', { exact: false }).waitFor();
});

it('is accessible and never scrolls sideways, and offers an operator no download', async () => {
  await insertBackup(db(), stack, 'verified');
  for (const { name: _name, ...look } of LOOKS) {
    const looked = await portal.open(look);
    await portal.signIn(looked, owner, `/app/stacks/${stack.slug}/backups?keep=true`);
    await looked.getByRole('button', { name: 'Download…' }).click();
    await looked.getByRole('dialog').getByLabel('Passphrase of the file').waitFor();
    await portal.assertSound(looked);
    await looked.context().close();
  }
  const operator = await person(portal.t, 'operator');
  const console_ = await portal.open();
  await portal.signIn(console_, operator, `/console/stacks/${stack.slug}/backups`);
  await console_.getByRole('button', { name: 'Restore…' }).waitFor();
  expect(await console_.getByRole('button', { name: 'Download…' }).count()).toBe(0);
  expect(portal.complaints).toEqual([]);
});
