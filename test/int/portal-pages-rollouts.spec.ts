import type { Page } from 'playwright-core';
import type { RolloutView } from '#libs/contracts';
import {
  OperationEntity,
  ReleaseEntity,
  RolloutEntity,
  RolloutMoveEntity,
  RolloutStackEntity,
  TenantEntity,
} from '#libs/db';
import { person, stackOf, type TestPerson } from '../support/api.js';
import { LOOKS, portalBrowser, type PortalBrowser } from '../support/portal-browser.js';

/** Rollouts as operators see and move them, in a real browser. No worker and no agent run here. */
jest.setTimeout(120_000);

const FIRST = 'standard@1.0.0+00000000';
const NEXT = 'standard@1.1.0+00000001';
const REASON = `The upgrade to ${NEXT} failed on 1 stack where none may.`;

let portal: PortalBrowser;
let operator: TestPerson;
let page: Page;
let rollout: RolloutView;

const db = () => portal.t.db.dataSource.manager;
const row = (text: string) => page.getByRole('row').filter({ hasText: text });
const dialog = () => page.getByRole('dialog');
const button = (name: string) => page.getByRole('button', { name, exact: true });

/** As a worker would: the state, and why. */
async function moved(to: RolloutEntity['state'], reason: string | null = null): Promise<void> {
  const { id: rolloutId } = rollout;
  const { state } = await db().findOneByOrFail(RolloutEntity, { id: rolloutId });
  await db().update(RolloutEntity, { id: rolloutId }, { state: to });
  const seq = await db().countBy(RolloutMoveEntity, { rolloutId });
  const cause = to === 'halted' ? ('budget' as const) : ('begun' as const);
  const move = { rolloutId, seq, fromState: state, toState: to, cause, reason, by: 'system:rollout', at: new Date() };
  await db().insert(RolloutMoveEntity, move);
}

beforeAll(async () => {
  portal = await portalBrowser();
  operator = await person(portal.t, 'operator');
  const first = await db().findOneByOrFail(ReleaseEntity, { id: FIRST });
  for (let made = 0; made < 4; made += 1) {
    await stackOf(portal.t, await person(portal.t));
  }
  await db().query(`update operations set state = 'done', started_at = now(), finished_at = now()`);
  const since = { checkedAt: new Date(), observedSince: new Date() };
  await db().update(TenantEntity, { releaseId: FIRST }, { observed: 'running', ...since });
  const next = { id: NEXT, version: '1.1.0', createdAt: new Date(first.createdAt.getTime() + 1_000) };
  await db().insert(ReleaseEntity, Object.assign(new ReleaseEntity(), first, next) as object);
  page = await portal.open();
}, 180_000);
afterAll(async () => {
  await portal?.close();
});

it('says that there is none, and how to begin one', async () => {
  await portal.signIn(page, operator, '/console/releases');
  await page.getByText('No rollout yet').waitFor();
  await page.getByText('Begin one at a release above', { exact: false }).waitFor();
  await portal.assertSound(page, 'rollouts-none');
});

describe('a rollout begun from the console', () => {
  const field = (name: string) => page.getByLabel(name, { exact: true });

  it('shows who would go when and who would not, and what is wrong in what is typed', async () => {
    const asleep = await db().findOneByOrFail(TenantEntity, { releaseId: FIRST });
    await db().update(TenantEntity, { id: asleep.id }, { desired: 'stopped', observed: 'stopped' });
    await page.getByRole('link', { name: `Upgrade fleet… ${NEXT}` }).click();
    await page.waitForURL('**/console/releases/rollouts/new?release=*');
    await row('Canary').filter({ hasText: '1' }).waitFor();
    await page.getByRole('heading', { name: '1 stack is left out' }).waitFor();
    await row(asleep.slug).waitFor();
    await db().update(TenantEntity, { id: asleep.id }, { desired: 'running', observed: 'running' });
    await field('Waves (%)').fill('50, 25');
    await page.getByText('Rising parts up to 100, such as 25, 100.').waitFor();
    expect(await button('Begin…').isDisabled()).toBe(true);
    await portal.assertSound(page, 'rollout-new-refused');
    await field('Waves (%)').fill('50, 100');
    await field('Only these stacks').fill('uaaaaaa');
    await page.getByText('There is no stack uaaaaaa', { exact: false }).waitFor();
    await field('Only these stacks').fill('');
    await row('Wave 2').waitFor();
    await portal.assertSound(page, 'rollout-new');
    // What was typed is there again, and what the page says is asked of the server anew.
    await page.reload();
    await row('Wave 2').waitFor();
    expect(await field('Waves (%)').inputValue()).toBe('50, 100');
  });

  it('begins once its release was typed, and leads to its page', async () => {
    await button('Begin…').click();
    await dialog().getByText('4 stacks are backed up', { exact: false }).waitFor();
    expect(await dialog().getByRole('button', { name: 'Begin rollout' }).isDisabled()).toBe(true);
    await portal.assertSound(page, 'rollout-new-confirm');
    await dialog().getByRole('textbox').fill(NEXT);
    await dialog().getByRole('button', { name: 'Begin rollout' }).click();
    await page.waitForURL(/rollouts\/[0-9a-f-]{36}$/);
    await page.getByRole('heading', { name: NEXT }).waitFor();
    const [begun, ...others] = await db().find(RolloutEntity);
    expect([begun?.settings.waves, others]).toEqual([[50, 100], []]);
    // One of a template at a time: the next is refused in the dialog, which keeps what was chosen.
    await page.goto(`${portal.origin}/console/releases/rollouts/new?release=${encodeURIComponent(NEXT)}`);
    await button('Begin…').click();
    await dialog().getByRole('textbox').fill(NEXT);
    await dialog().getByRole('button', { name: 'Begin rollout' }).click();
    await dialog().getByText('aviary rollout', { exact: false }).or(dialog().getByRole('alert')).first().waitFor();
    await dialog().getByRole('button', { name: 'Cancel' }).click();
    await db().query('delete from rollouts');
    await page.goto(`${portal.origin}/console/releases`);
  });
});

it('lists one with how far it is, and leads to it by the keyboard', async () => {
  const order = { release: NEXT, confirm: NEXT, settings: { waves: [50, 100] } };
  const answer = await portal.t.http.post('/api/v1/operator/rollouts').set(operator.auth).send(order).expect(202);
  rollout = answer.body as RolloutView;
  const listed = page.getByRole('row').filter({ hasText: 'Waits to begin' });
  await listed.waitFor();
  const cells = await listed.getByRole('cell').allInnerTexts();
  expect([cells[0], ...cells.slice(2, 4)]).toEqual([NEXT, '0 of 4', '4 not begun']);
  const link = listed.getByRole('link', { name: NEXT });
  await link.focus();
  await page.keyboard.press('Enter');
  await page.waitForURL(`**/console/releases/rollouts/${rollout.id}`);
  await page.getByRole('heading', { name: NEXT }).waitFor();
});

it('shows each ring and each stack, as they become what they become', async () => {
  await moved('running');
  const [canary, second, third] = await db().find(RolloutStackEntity, {
    where: { rolloutId: rollout.id },
    order: { place: 'ASC' },
  });
  const operation = await db().findOneByOrFail(OperationEntity, { tenantId: canary?.tenantId ?? '' });
  const at = { orderedAt: new Date(), endedAt: new Date() };
  const change = (of: RolloutStackEntity | undefined, to: Partial<RolloutStackEntity>) =>
    db().update(RolloutStackEntity, { rolloutId: rollout.id, tenantId: of?.tenantId ?? '' }, to);
  await change(canary, { ...at, state: 'done', outageMs: 2_400, operationId: operation.id });
  await change(second, { ...at, state: 'rolled_back', outageMs: 31_000, reason: 'It did not answer.' });
  await change(third, { state: 'skipped', why: 'not_running', reason: 'It does not run.' });
  await row('Canary').filter({ hasText: '1 of 1' }).first().waitFor();
  await row('Wave 1').filter({ hasText: '1 rolled back' }).waitFor();
  await row(canary?.slug ?? '')
    .filter({ hasText: 'Upgraded' })
    .waitFor();
  await row(second?.slug ?? '')
    .filter({ hasText: 'Rolled back' })
    .filter({ hasText: 'It did not answer.' })
    .waitFor();
  await row(third?.slug ?? '')
    .filter({ hasText: 'Left out' })
    .filter({ hasText: 'It does not run.' })
    .waitFor();
  expect(
    await row(canary?.slug ?? '')
      .getByRole('link', { name: 'Upgraded' })
      .getAttribute('href'),
  ).toContain(operation.id);
  await portal.assertSound(page, 'rollout');
});

it('pauses, goes on and aborts after saying what that means, and shows why one halted', async () => {
  await button('Pause…').click();
  await dialog().getByText('No other upgrade is begun until somebody goes on with it.').waitFor();
  await dialog().getByRole('button', { name: 'Cancel' }).click();
  expect(await db().findOneByOrFail(RolloutEntity, { id: rollout.id })).toMatchObject({ state: 'running' });
  await button('Pause…').click();
  await dialog().getByRole('button', { name: 'Pause rollout' }).click();
  await button('Go on…').waitFor();
  expect(await db().findOneByOrFail(RolloutEntity, { id: rollout.id })).toMatchObject({ state: 'paused' });
  await moved('halted', REASON);
  await page.getByText(REASON).first().waitFor();
  await portal.assertSound(page, 'rollout-halted');
  await button('Go on…').click();
  await dialog().getByText('You know of 1 failure; what failed until now counts no more.').waitFor();
  await portal.assertSound(page, 'rollout-resume');
  await dialog().getByRole('button', { name: 'Go on with rollout' }).click();
  await button('Pause…').waitFor();
  const { acknowledgedAt } = await db().findOneByOrFail(RolloutEntity, { id: rollout.id });
  expect(acknowledgedAt).not.toBeNull();
  await button('Abort…').click();
  await dialog().getByText('1 stack stays as it is.').waitFor();
  // Somebody else was faster: told, and the page shows what is so.
  await moved('done');
  await dialog().getByRole('button', { name: 'Abort rollout' }).click();
  await dialog().getByText('from there it does not become aborted', { exact: false }).waitFor();
  await dialog().getByRole('button', { name: 'Cancel' }).click();
  await button('Abort…').waitFor({ state: 'detached' });
});

it('is accessible, never scrolls sideways, and says what failed to load with a way to try again', async () => {
  for (const { name: _name, ...look } of LOOKS) {
    const looked = await portal.open(look);
    await portal.signIn(looked, operator, `/console/releases/rollouts/${rollout.id}`);
    await looked.getByText('It did not answer.').waitFor();
    await portal.assertSound(looked);
    await looked.route('**/api/v1/operator/rollouts/**', (route) =>
      route.fulfill({
        status: 500,
        json: { code: 'INTERNAL', message: 'Something went wrong on our side.', errorId: 'e1', details: {} },
      }),
    );
    await looked.reload();
    await looked.getByText('The rollout could not be loaded').waitFor({ timeout: 30_000 });
    await portal.assertSound(looked);
    await looked.unrouteAll();
    await looked.getByText('It did not answer.').waitFor();
    await looked.context().close();
  }
  await page.goto(`${portal.origin}/console/releases/rollouts/0198c0de-0000-7000-8000-000000000000`);
  await page.getByText('There is nothing here').waitFor();
});
