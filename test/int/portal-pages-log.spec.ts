import { mkdtemp, rm } from 'node:fs/promises';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Locator, Page } from 'playwright-core';
import { waitFor } from '#libs/async';
import { stackNames } from '#libs/tenants';
import { startPrivateServer } from '../../apps/agent/src/private-server.js';
import { logAnswer } from '../../apps/agent/src/watch/log-answer.js';
import { person, stackOf, type TestPerson } from '../support/api.js';
import { LOOKS, portalBrowser, type PortalBrowser } from '../support/portal-browser.js';
import { engineWithLogs, WrittenLog } from '../support/written-log.js';

/** The log panel of a stack's page, before the production api and the agent's own answer; only the engine is not one. */
jest.setTimeout(120_000);

let portal: PortalBrowser;
let owner: TestPerson;
let slug: string;
let home: string;
let socket: string;
let agent: Server;
let log: WrittenLog;
let page: Page;
let panel: Locator;

async function startAgent(): Promise<void> {
  const names = stackNames(portal.t.db.platformId, slug);
  agent = await startPrivateServer(
    socket,
    () => Promise.resolve({ ok: true, checks: {} }),
    () => Promise.resolve(''),
    {
      logs: logAnswer(
        engineWithLogs({ [names.container('runtime')]: log, [names.container('redis')]: new WrittenLog() }),
        portal.t.db.platformId,
      ),
    },
  );
}
function stopAgent(): void {
  agent.closeAllConnections();
  agent.close();
}

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'aviary-log-page-'));
  socket = join(home, 'agent.sock');
  portal = await portalBrowser({ AVIARY_AGENT_SOCKET: socket });
  owner = await person(portal.t);
  slug = (await stackOf(portal.t, owner)).stack.slug;
}, 180_000);
afterAll(async () => {
  await portal?.close();
  await rm(home, { recursive: true, force: true });
});
beforeEach(async () => {
  log = new WrittenLog();
  await startAgent();
  page = await portal.open();
  panel = page.locator('section', { has: page.getByRole('heading', { name: 'Log', exact: true }) });
});
afterEach(async () => {
  await page.context().close();
  stopAgent();
});

const lines = (): Locator => panel.getByRole('region', { name: 'Log' });
const shown = (words: string): Promise<void> => lines().getByText(words).last().waitFor();
const belowSight = (): Promise<number> =>
  lines().evaluate((box) => box.scrollHeight - box.scrollTop - box.clientHeight);
const press = (name: string): Promise<void> => panel.getByRole('button', { name, exact: true }).click();

describe('the log on a stack’s page', () => {
  it('is read by service, searched, and says when there is none, in every look', async () => {
    for (let number = 0; number < 300; number += 1) {
      log.write(
        number % 50 === 7
          ? `{"level":50,"name":"runtime","msg":"order ${number} refused: Filter failure: LOT_SIZE, quantity 0.00000012 is below the smallest step of this pair"}`
          : `{"level":30,"name":"runtime","msg":"tick ${number}"}`,
        number % 50 === 7 ? 'err' : 'out',
      );
    }
    await portal.signIn(page, owner, '/app');
    await shown('tick 299');
    // the newest line is the one in sight
    expect(await belowSight()).toBeLessThan(2);
    await panel.getByLabel('Search the last lines').fill('LOT_size');
    await page.keyboard.press('Enter');
    await panel.getByText('6 lines of the last 300').waitFor();
    expect(await lines().locator('[data-kind=err]').count()).toBe(6);
    for (const { name: _name, ...look } of LOOKS) {
      await page.setViewportSize(look.viewport);
      await page.emulateMedia({ colorScheme: look.colorScheme });
      await portal.assertSound(page, 'log-found');
    }
    await panel.getByLabel('Search the last lines').fill('no such words');
    await page.keyboard.press('Enter');
    await panel.getByText('None of the last 300 lines contains it.').waitFor();
    await press('Clear');
    await shown('tick 299');
    await panel.getByText('redis', { exact: true }).click();
    await panel.getByText('This service has written nothing yet.').waitFor();
    await panel.getByText('postgres', { exact: true }).click();
    await panel.getByText('This service has no container now', { exact: false }).waitFor();
    await portal.assertSound(page, 'log-none');
  });

  it('keeps service and search in the address, over a reload, and offers the services the stack has', async () => {
    log.write('order 7 refused');
    log.write('order 8 filled');
    await portal.signIn(page, owner, '/app');
    await shown('order 8 filled');
    const services = panel.getByRole('radiogroup', { name: 'Service' });
    expect(await services.getByRole('radio').count()).toBe(3);
    await panel.getByLabel('Search the last lines').fill('refused');
    await page.keyboard.press('Enter');
    await page.waitForURL('**/app?q=refused');
    await page.reload();
    await panel.getByText('1 line of the last 2').waitFor();
    expect(await panel.getByLabel('Search the last lines').inputValue()).toBe('refused');
    await panel.getByText('redis', { exact: true }).click();
    await page.waitForURL((url) => url.search === '?q=refused&service=redis');
    await page.reload();
    await panel.getByText('None of the last 0 lines contains it.').waitFor();
    expect(await services.getByRole('radio', { name: 'redis' }).isChecked()).toBe(true);
    await press('Clear');
    await page.waitForURL('**/app?service=redis');
    await panel.getByText('runtime', { exact: true }).click();
    await page.waitForURL('**/app');
    await page.goto(`${portal.origin}/app?service=mysql`);
    await shown('order 8 filled');
    // what the release is made of is what is offered
    const { dataSource } = portal.t.db;
    const set = (to: string): Promise<unknown> => dataSource.query(`update releases set definition = ${to}`);
    await set(`jsonb_set(definition, '{services,memcached}', definition->'services'->'redis')`);
    await page.reload();
    await services.getByText('memcached').waitFor();
    await set(`definition #- '{services,memcached}'`);
  });

  it('says that it cannot be read, and is read when asked again', async () => {
    stopAgent();
    await portal.signIn(page, owner, '/app');
    await panel.getByText('The log could not be loaded').waitFor({ timeout: 30_000 });
    await portal.assertSound(page, 'log-failed');
    log.write('back again');
    await startAgent();
    await panel.getByRole('button', { name: 'Try again' }).click();
    await shown('back again');
  });

  it('is followed live by keyboard: held while its reader scrolls up, paused and gone on without losing a line', async () => {
    log.write('before');
    await portal.signIn(page, owner, '/app');
    await shown('before');
    await panel.getByLabel('Search the last lines').focus();
    // Find, then Follow
    await page.keyboard.press('Tab');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await panel.getByText('Live', { exact: true }).waitFor();
    for (let number = 0; number < 120; number += 1) {
      log.write(`while ${number}`);
    }
    await shown('while 119');
    await portal.assertSound(page, 'log-live');

    await lines().focus();
    await page.keyboard.press('Home');
    await panel.getByRole('button', { name: 'To the newest line' }).waitFor();
    log.write('unseen 1');
    log.write('unseen 2');
    await panel.getByRole('button', { name: '↓ 2 new lines' }).waitFor();
    // the key scrolls smoothly, and new lines must not carry its reader back
    await waitFor(async () => (await lines().evaluate((box) => box.scrollTop)) < 2 || undefined, {
      what: 'the oldest line in sight',
      deadlineMs: 5_000,
    });
    await portal.assertSound(page, 'log-held');
    await press('↓ 2 new lines');
    expect(await belowSight()).toBeLessThan(2);

    await press('Pause');
    await panel.getByText('Paused.', { exact: false }).waitFor();
    await shown('unseen 2');
    for (let number = 0; number < 250; number += 1) {
      log.write(`meanwhile ${number}`);
    }
    expect(await lines().getByText('meanwhile').count()).toBe(0);
    await press('Follow');
    await shown('meanwhile 249');
    // more than the lines a page begins with: none of them may be missing, none twice
    expect(
      await lines()
        .getByText(/meanwhile \d+/)
        .count(),
    ).toBe(250);
    expect(await lines().getByText('before').count()).toBe(1);
  });

  it('shows a gap where lines came faster than they could be sent, and counts them', async () => {
    await portal.signIn(page, owner, '/app');
    await press('Follow');
    await panel.getByText('Live', { exact: true }).waitFor();
    const all = 20_000;
    for (let number = 0; number < all; number += 1) {
      log.write(`burst ${number}`);
    }
    await shown(`burst ${all - 1}`);
    const gaps = await lines().locator('[data-kind=gap]').allTextContents();
    const missing = gaps.reduce((sum, text) => sum + Number(/\d+/.exec(text)?.[0]), 0);
    expect(missing).toBeGreaterThan(0);
    expect(missing + (await lines().locator('[data-kind=out]').count())).toBe(all);
  });

  it('shows that the service ended, that the agent is away, and what was written meanwhile', async () => {
    await portal.signIn(page, owner, '/app');
    await panel.getByText('This service has written nothing yet.').waitFor();
    await press('Follow');
    await panel.getByText('Nothing yet. New lines appear here').waitFor();
    log.write('first run');
    await shown('first run');
    log.end();
    await panel.getByText('the service ended here', { exact: false }).waitFor();
    log.write('second run');
    await shown('second run');
    await portal.assertSound(page, 'log-ended');
    stopAgent();
    log.write('written while nobody could ask');
    await startAgent();
    await shown('written while nobody could ask');
    expect(await lines().getByText('first run').count()).toBe(1);
    expect(await lines().getByText('the service ended here').count()).toBeLessThanOrEqual(2);
  });

  it('ends once the stack is gone, and says so beside what was written', async () => {
    log.write('the last words');
    await portal.signIn(page, owner, '/app');
    await shown('the last words');
    await press('Follow');
    await panel.getByText('Live', { exact: true }).waitFor();
    await portal.t.db.dataSource.query('delete from tenants where slug = $1', [slug]);
    log.end({ stays: true });
    await panel.getByText('or it was destroyed', { exact: false }).waitFor();
    await lines().getByText('the last words').waitFor();
    const asked = log.asked.length;
    // It would be asked for each second.
    await page.waitForTimeout(3_000);
    expect(log.asked).toHaveLength(asked);
  });

  it('ran under its content security policy without a complaint', () => {
    expect(portal.complaints).toEqual([]);
  });
});
