import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { newId, OperationEntity, ReleaseEntity, TenantEntity, UpgradeFailureEntity } from '#libs/db';
import { FakeEngine } from '#libs/engine';
import { person, stackOf, type TestPerson } from '../support/api.js';
import { answeringImages } from '../support/image-answers.js';
import { LOOKS, portalBrowser, type PortalBrowser } from '../support/portal-browser.js';

/** Releases as operators move them and owners are offered them, in a real browser. Of an agent, what says which images there are. */
jest.setTimeout(120_000);

const FIRST = 'standard@1.0.0+00000000';
const DRAFT = 'standard@1.2.0+00000002';
const NEXT = 'standard@1.1.0+00000001';
const OLD = 'standard@0.9.0+00000009';

const engine = new FakeEngine({ images: ['aviary/runtime:1.3.0'] });

let home: string;
let stopAnswering: () => void;
let portal: PortalBrowser;
let operator: TestPerson;
let owner: TestPerson;
let page: Page;
let first: ReleaseEntity;
let stack: { id: string; slug: string };

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'aviary-release-pages-'));
  const socket = join(home, 'agent.sock');
  stopAnswering = await answeringImages(socket, engine);
  portal = await portalBrowser({ AVIARY_AGENT_SOCKET: socket });
  operator = await person(portal.t, 'operator');
  owner = await person(portal.t);
  const pinned = Object.fromEntries(
    ['postgres', 'redis', 'runtime'].map((service) => [service, engine.addImage(service)]),
  );
  await db().update(ReleaseEntity, { id: FIRST }, { images: pinned });
  first = await db().findOneByOrFail(ReleaseEntity, { id: FIRST });
  page = await portal.open();
}, 180_000);
afterAll(async () => {
  await portal?.close();
  stopAnswering?.();
  await rm(home, { recursive: true, force: true });
});

const db = () => portal.t.db.dataSource.manager;
const row = (id: string) => page.getByRole('row').filter({ hasText: id });
const dialog = () => page.getByRole('dialog');

/** Like the first one, so many days younger. */
const insertRelease = (id: string, days: number, over: Partial<ReleaseEntity>): Promise<unknown> =>
  db().insert(
    ReleaseEntity,
    Object.assign({}, first, {
      id,
      version: /@([\d.]+)\+/.exec(id)?.[1] ?? '',
      createdAt: new Date(first.createdAt.getTime() + days * 86_400_000),
      ...over,
    }),
  );

const moved = (id: string, state: ReleaseEntity['state']): Promise<unknown> =>
  db().update(ReleaseEntity, { id }, { state });

const failedOn = (toRelease: string): Promise<unknown> =>
  db().insert(UpgradeFailureEntity, {
    tenantId: stack.id,
    fromRelease: FIRST,
    toRelease,
    operationId: newId(),
    message: 'The runtime did not become ready.',
    at: new Date(),
  });

async function runningStack(): Promise<{ id: string; slug: string }> {
  const made = await stackOf(portal.t, owner);
  await ended(made.operation.id);
  await db().update(
    TenantEntity,
    { id: made.stack.id },
    { observed: 'running', checkedAt: new Date(), observedSince: new Date() },
  );
  return made.stack;
}

const ended = (id: string): Promise<unknown> =>
  db().update(OperationEntity, { id }, { state: 'done', startedAt: new Date(), finishedAt: new Date() });

it('says that there is none before an agent registered one', async () => {
  await db().delete(ReleaseEntity, { id: FIRST });
  await portal.signIn(page, operator, '/console');
  await page.getByRole('link', { name: 'Releases', exact: true }).first().click();
  await page.waitForURL('**/console/releases');
  await page.getByText('No releases yet').waitFor();
  await portal.assertSound(page, 'releases-none');
  await db().insert(ReleaseEntity, first as object);
  await row(FIRST).waitFor();
});

it('lists them newest first with who is on each, and with the moves there are', async () => {
  stack = await runningStack();
  await insertRelease(OLD, -30, { state: 'withdrawn', notes: 'Lost its place in the order book after a restart.' });
  await insertRelease(NEXT, 1, { state: 'candidate', notes: 'Bots start in half the time.' });
  await insertRelease(DRAFT, 2, { state: 'draft' });
  await failedOn(NEXT);
  await row(DRAFT).waitFor();
  const texts = (await page.getByRole('row').allInnerTexts()).slice(1);
  expect(texts.map((text) => /standard@\S+/.exec(text)?.[0])).toEqual([DRAFT, NEXT, FIRST, OLD]);
  const offered = async (id: string) => row(id).getByRole('button').allInnerTexts();
  expect(await Promise.all([DRAFT, NEXT, FIRST, OLD].map(offered))).toEqual([
    ['Offer…', 'Withdraw…', 'Notes…'],
    ['Promote…', 'Withdraw…', 'Mark as fixed…', 'Notes…'],
    ['Withdraw…', 'Notes…'],
    ['Offer…', 'Notes…'],
  ]);
  const cells = await row(FIRST).getByRole('cell').allInnerTexts();
  expect(cells[0]).toContain('standard 1.0.0');
  expect(cells[0]).toContain('PostgreSQL 17');
  await page.getByText(`${DRAFT} is newer than what is stable, and a draft: nobody goes to it`).waitFor();
  expect(cells[1]).toMatch(/Stable\s+for new stacks/);
  expect(cells.slice(2, 4)).toEqual(['1', '0']);
  expect((await row(NEXT).getByRole('cell').allInnerTexts()).slice(2, 4)).toEqual(['0', '1']);
  await portal.assertSound(page, 'releases');
});

it('moves one after saying what changes, counted', async () => {
  const promote = page.getByRole('button', { name: `Promote… ${NEXT}` });
  await promote.click();
  await dialog().getByText('New stacks of standard are made of it.').waitFor();
  await dialog()
    .getByText('1 stack is on an older release: its owner is offered this one where', { exact: false })
    .waitFor();
  await dialog().getByText('It failed on 1 stack and is not tried there again', { exact: false }).waitFor();
  await portal.assertSound(page, 'releases-promote');
  await dialog().getByRole('button', { name: 'Cancel' }).click();
  expect(await db().findOneByOrFail(ReleaseEntity, { id: NEXT })).toMatchObject({ state: 'candidate' });
  await promote.click();
  await dialog().getByRole('button', { name: 'Promote release' }).click();
  await row(NEXT).getByText('for new stacks').waitFor();
  expect(await row(FIRST).getByText('for new stacks').count()).toBe(0);
  expect(await db().findOneByOrFail(ReleaseEntity, { id: NEXT })).toMatchObject({ state: 'stable' });
});

it('marks one as fixed: it may be tried again where it failed', async () => {
  const fixed = page.getByRole('button', { name: `Mark as fixed… ${NEXT}` });
  await fixed.click();
  await dialog().getByText('1 stack may be upgraded to it again', { exact: false }).waitFor();
  await dialog().getByRole('button', { name: 'Mark as fixed' }).click();
  await fixed.waitFor({ state: 'detached' });
  expect(await db().countBy(UpgradeFailureEntity, { toRelease: NEXT })).toBe(0);
});

it('makes a release like one that is there, of an image that the engine has, and says what is wrong until it is made', async () => {
  await page.getByRole('link', { name: 'Make release…' }).click();
  await page.waitForURL('**/console/releases/new');
  await page.getByLabel('Like').selectOption(FIRST);
  const press = (): Promise<void> => page.getByRole('button', { name: 'Make release' }).click();
  await press();
  await page.getByText('Three numbers, such as 1.8.0.').waitFor();
  await page.getByLabel('Version').fill('1.3.0');
  const image = page.getByLabel('Image of runtime');
  await image.fill('no image');
  await page.getByText('An image as the engine names it', { exact: false }).waitFor();
  await image.fill('aviary/runtime:1.4.0');
  await page.getByLabel('Migrations it needs').fill('Stacks1763700000002');
  await page.getByLabel('What is new').fill('Grids start faster.\nNothing else.');
  await press();
  await page.getByText('The engine has no image aviary/runtime:1.4.0 for runtime.', { exact: false }).waitFor();
  await portal.assertSound(page, 'releases-make');
  await image.fill('aviary/runtime:1.3.0');
  await press();
  await page.waitForURL('**/console/releases');
  const made = await db().findOneByOrFail(ReleaseEntity, { version: '1.3.0' });
  expect(made).toMatchObject({
    state: 'draft',
    notes: 'Grids start faster.\nNothing else.',
    images: { ...first.images, runtime: await engine.imageId('aviary/runtime:1.3.0', { deadlineMs: 1_000 }) },
  });
  await row(made.id).getByText('requires Stacks1763700000002', { exact: false }).waitFor();
  await portal.assertSound(page, 'releases-made');
});

it('writes what is new in one', async () => {
  const { id } = await db().findOneByOrFail(ReleaseEntity, { version: '1.3.0' });
  await page.getByRole('button', { name: `Notes… ${id}` }).click();
  const notes = dialog().getByLabel('What is new');
  expect(await notes.inputValue()).toBe('Grids start faster.\nNothing else.');
  await notes.fill('x'.repeat(4_001));
  await dialog().getByText('Text of at most 4000 characters.').waitFor();
  expect(await dialog().getByRole('button', { name: 'Write notes' }).isDisabled()).toBe(true);
  await notes.fill('Grids start faster.');
  await portal.assertSound(page, 'releases-notes');
  await dialog().getByRole('button', { name: 'Write notes' }).click();
  await dialog().waitFor({ state: 'detached' });
  expect(await db().findOneByOrFail(ReleaseEntity, { id })).toMatchObject({ notes: 'Grids start faster.' });
  // Out of the way of what follows, which is about the others.
  await db().delete(ReleaseEntity, { id });
  await row(id).waitFor({ state: 'detached' });
});

it('shows why a move was refused, and the state somebody else gave it meanwhile', async () => {
  await page.getByRole('button', { name: `Offer… ${DRAFT}` }).click();
  await dialog().getByText('Owners are not offered it yet', { exact: false }).waitFor();
  await moved(DRAFT, 'stable');
  await dialog().getByRole('button', { name: 'Offer release' }).click();
  await dialog().getByText(`${DRAFT} is stable; from there it does not become candidate.`).waitFor();
  await portal.assertSound(page, 'releases-refused');
  await dialog().getByRole('button', { name: 'Cancel' }).click();
  await row(DRAFT).getByText('Stable').waitFor();
});

it('says before the last stable one is withdrawn that no stack can be made then, and what stays', async () => {
  const withdraw = async (id: string): Promise<void> => {
    await page.getByRole('button', { name: `Withdraw… ${id}` }).click();
    await dialog().getByText('is withdrawn: no stack is upgraded to it any more', { exact: false }).waitFor();
  };
  const confirm = async (id: string): Promise<void> => {
    await dialog().getByRole('button', { name: 'Withdraw release' }).click();
    await row(id).getByText('Withdrawn').waitFor();
    await dialog().waitFor({ state: 'detached' });
  };
  await withdraw(DRAFT);
  await dialog().getByText(`New stacks of standard are made of ${NEXT} then.`).waitFor();
  await confirm(DRAFT);
  await withdraw(NEXT);
  await confirm(NEXT);
  await withdraw(FIRST);
  await dialog().getByText('No stack of standard can be made until another release is stable.').waitFor();
  await dialog().getByText('1 stack on it stays on it.').waitFor();
  await portal.assertSound(page, 'releases-withdraw');
  await dialog().getByRole('button', { name: 'Cancel' }).click();
});

it('is accessible, never scrolls sideways, and says what failed to load with a way to try again', async () => {
  for (const { name: _name, ...look } of LOOKS) {
    const looked = await portal.open(look);
    await portal.signIn(looked, operator, '/console/releases');
    await looked.getByText(FIRST).waitFor();
    await portal.assertSound(looked);
    await looked.route('**/api/v1/operator/releases', (route) =>
      route.fulfill({
        status: 500,
        json: { code: 'INTERNAL', message: 'Something went wrong on our side.', errorId: 'e1', details: {} },
      }),
    );
    await looked.reload();
    await looked.getByText('The releases could not be loaded').waitFor({ timeout: 30_000 });
    await portal.assertSound(looked);
    await looked.unrouteAll();
    await looked.getByText(FIRST).waitFor();
    await looked.context().close();
  }
});

it('is no page of subscribers', async () => {
  await page.context().clearCookies();
  page = await portal.open();
  await portal.signIn(page, owner, '/console/releases');
  await page.getByText('There is nothing here').waitFor();
  expect(await page.getByRole('link', { name: 'Releases', exact: true }).count()).toBe(0);
  const answer = await portal.t.http.get('/api/v1/operator/releases').set(owner.auth);
  expect([403, 404]).toContain(answer.status);
});

it('offers the owner the newest they can go to, says what an upgrade does, and leads to it', async () => {
  await page.goto(`${portal.origin}/app`);
  await page.getByText('Running').first().waitFor();
  const more = page.getByRole('button', { name: 'More actions' });
  const item = page.getByRole('menuitem', { name: 'Upgrade to 1.1.0…' });
  await more.click();
  await page.getByRole('menuitem', { name: 'Change limits…' }).waitFor();
  expect(await page.getByRole('menuitem', { name: 'Upgrade to' }).count()).toBe(0);
  await page.keyboard.press('Escape');
  // by itself, as the stack's page is kept fresh
  await moved(NEXT, 'stable');
  await page.getByText('1.1.0 is ready', { exact: false }).waitFor();
  await more.click();
  await item.waitFor();
  await portal.assertSound(page, 'upgrade-menu');
  await item.click();
  for (const said of [
    'It is backed up first, and the backup restored and checked.',
    'Only what differs in 1.1.0 is replaced; data stays.',
    'The dashboard is away for some seconds.',
    'it goes back to 1.0.0 by itself',
  ]) {
    await dialog().getByText(said, { exact: false }).waitFor();
  }
  await portal.assertSound(page, 'upgrade');
  await dialog().getByRole('button', { name: 'Upgrade stack' }).click();
  await page.waitForURL('**/app/operations/*');
  const upgrade = await db().findOneByOrFail(OperationEntity, { tenantId: stack.id, kind: 'upgrade' });
  expect([page.url().endsWith(upgrade.id), upgrade.input]).toEqual([true, { from: FIRST, to: NEXT }]);
  await page.getByText('Change to the new release').waitFor();
  await portal.assertSound(page, 'upgrade-operation');

  await page.goto(`${portal.origin}/app`);
  await page.getByRole('link', { name: 'Follow' }).waitFor();
  await more.click();
  await item.getByText('once the operation has ended').waitFor();
  expect(await item.isDisabled()).toBe(true);
  await page.keyboard.press('Escape');
  await ended(upgrade.id);
});

it('says when it can be upgraded, and offers nothing that failed on it before', async () => {
  await db().update(TenantEntity, { id: stack.id }, { desired: 'stopped', observed: 'stopped' });
  await page.goto(`${portal.origin}/app`);
  await page.getByText('Stopped by you').first().waitFor();
  await page.getByText('1.1.0 is ready', { exact: false }).waitFor();
  await page.getByRole('button', { name: 'More actions' }).click();
  const item = page.getByRole('menuitem', { name: 'Upgrade to 1.1.0…' });
  await item.getByText('once the stack runs').waitFor();
  expect(await item.isDisabled()).toBe(true);
  await portal.assertSound(page, 'upgrade-later');
  await page.keyboard.press('Escape');
  await failedOn(NEXT);
  await page.getByText('1.1.0 is ready', { exact: false }).waitFor({ state: 'detached' });
  expect(portal.complaints).toEqual([]);
});
