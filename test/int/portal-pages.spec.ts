import { newId, OrphanEntity, StackWarningEntity } from '#libs/db';
import { recordUsage } from '#libs/tenants';
import type { Page } from 'playwright-core';
import { mailedToken, person, type TestApi } from '../support/api.js';
import { firstScript } from '../support/browser.js';
import { LOOKS, portalBrowser, type PortalBrowser } from '../support/portal-browser.js';

/** No agent runs here, so that operations stay queued: what follows the queue is seen in the e2e tests. */
let portal: PortalBrowser;
let t: TestApi;
let origin: string;
let page: Page;

beforeAll(async () => {
  portal = await portalBrowser();
  ({ t, origin } = portal);
  page = await portal.open();
}, 180_000);

afterAll(async () => {
  await portal?.close();
});

describe('the portal in a browser', () => {
  it('comes in its small form to browsers that take it', async () => {
    const { small, plain, refused } = await firstScript(t.url);
    expect([small.coding, plain.coding, refused.coding]).toEqual(['br', null, null]);
    expect(small.vary?.toLowerCase()).toContain('accept-encoding');
    expect(plain.vary?.toLowerCase()).toContain('accept-encoding');
    expect(plain.text.length).toBeGreaterThan(100_000);
    expect(small.text).toBe(plain.text);
    expect(refused.text).toBe(plain.text);
  });

  it('says once to a stranger that a page does not exist, and leads to the start', async () => {
    await page.goto(`${origin}/nowhere`);
    await page.getByRole('heading', { name: 'There is nothing here' }).waitFor();
    expect(await page.getByText('There is nothing here').count()).toBe(1);
    await portal.assertSound(page);
    await page.getByRole('link', { name: 'To the start page' }).click();
    await page.waitForURL(`${origin}/login`);
  });

  it('signs somebody up, by the mailed link, to a stack that waits in the queue', async () => {
    await page.goto(`${origin}/signup`);
    await page.getByLabel('E-mail address').fill('ana@example.org');
    await page.getByLabel('User name').fill('ana');
    await page.getByLabel('Password', { exact: true }).fill('a long enough password');
    await page.getByRole('checkbox').check();
    await portal.assertSound(page);
    await page.getByRole('button', { name: 'Create account' }).click();
    await page.getByText('We sent a link to').waitFor();

    // the link opens beside the page that waits for it
    const mailed = await page.context().newPage();
    await mailed.goto(`${origin}/verify?token=${await mailedToken(t, 'ana@example.org')}`);
    await mailed.getByRole('heading', { name: 'E-mail address confirmed' }).waitFor();
    await page.waitForURL('**/login');
    await mailed.close();

    await portal.signIn(page, { email: 'ana@example.org', password: 'wrong password' }, '/app');
    await page.getByText('is wrong').waitFor();
    await page.getByLabel('Password', { exact: true }).fill('a long enough password');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Create your stack' }).waitFor();
    await portal.assertSound(page);

    await page.getByLabel('Name of the stack').fill('My grid');
    await page.getByRole('button', { name: 'Create stack' }).click();
    await page.waitForURL('**/app/operations/*');
    await page.getByText('Queued').first().waitFor();
    await page.getByText('Publish the address over TLS').waitFor();
    await portal.assertSound(page);
  }, 120_000);

  it('shows a change made elsewhere without being asked', async () => {
    const id = page.url().split('/').at(-1) ?? '';
    const other = await portal.open();
    await portal.signIn(
      other,
      { email: 'ana@example.org', password: 'a long enough password' },
      `/app/operations/${id}`,
    );
    await other.getByRole('button', { name: 'Cancel operation' }).click();
    await other.getByRole('dialog').getByRole('button', { name: 'Cancel operation' }).click();
    await page.getByText('It was cancelled.').waitFor();
    await other.context().close();
  }, 60_000);

  it('stays signed in over a reload, and in two tabs at once', async () => {
    const second = await page.context().newPage();
    await Promise.all([page.reload(), second.goto(`${origin}/app`)]);
    await second.getByRole('heading', { level: 1 }).waitFor();
    await Promise.all([page.reload(), second.reload()]);
    await page.getByRole('button', { name: 'Account' }).waitFor();
    await second.getByRole('button', { name: 'Account' }).waitFor();
    expect([page.url(), second.url()].filter((url) => url.includes('/login'))).toEqual([]);
    await second.close();
  }, 60_000);

  it('hides the console from subscribers and opens it to operators', async () => {
    await page.goto(`${origin}/console`);
    await page.getByText('There is nothing here').waitFor();

    const at = new Date();
    const name = 'aviary-0000-uabc234-data-1';
    const row = { engineId: 'local', kind: 'volume' as const, name, tenantId: newId(), why: 'no_stack' as const };
    await t.db.dataSource.manager.insert(OrphanEntity, { ...row, firstSeenAt: at, lastSeenAt: at });

    const operator = await portal.open({ viewport: { width: 360, height: 740 } });
    await portal.signIn(operator, await person(t, 'operator'), '/console');
    await operator.getByRole('heading', { name: '1 stack' }).waitFor();
    await operator.getByRole('row').filter({ hasText: name }).getByText('Its stack is gone').waitFor();
    for (const path of ['/console', '/console/stacks', '/console/operations', '/console/users', '/console/outbox']) {
      await operator.goto(`${origin}${path}`);
      await operator.getByRole('heading', { level: 1 }).waitFor();
      await portal.assertSound(operator);
    }
    await operator.getByRole('row').filter({ hasText: 'ana@example.org' }).getByRole('link').click();
    await operator.getByRole('link', { name: /\/verify\?token=/ }).waitFor();
    await operator.context().close();
  }, 120_000);

  describe('when a part of it does not arrive', () => {
    const cut = (on: Page, times?: number, part = '*') =>
      on.route(`**/assets/${part}.js`, (route) => route.abort('connectionreset'), times === undefined ? {} : { times });

    it('loads again by itself, once, then says so', async () => {
      const looked = await portal.open({ viewport: { width: 360, height: 740 } });
      await cut(looked, 1);
      await looked.goto(`${origin}/login`);
      await looked.getByLabel('E-mail address or user name').waitFor();
      await cut(looked);
      await looked.goto(`${origin}/signup`);
      await looked.getByRole('heading', { name: 'This page could not be loaded' }).waitFor();
      await portal.assertSound(looked, 'load-failure');
      await looked.unrouteAll();
      await looked.getByRole('button', { name: 'Load again' }).click();
      await looked.getByLabel('E-mail address').waitFor();
      await looked.context().close();
    }, 60_000);

    it('loads again for a page that comes later', async () => {
      const operator = await portal.open();
      await portal.signIn(operator, await person(t, 'operator'), '/console');
      await operator.getByRole('heading', { level: 1 }).waitFor();
      // What the first page still loads is not meant.
      await cut(operator, 1, 'users-*');
      await operator.getByRole('link', { name: 'Users' }).first().click();
      await operator.getByRole('row').filter({ hasText: 'ana@example.org' }).waitFor();
      await operator.context().close();
    }, 60_000);

    it('asks the portal again until it answers', async () => {
      const looked = await portal.open();
      await looked.route('**/api/v1/**', (route) => route.abort('connectionreset'), { times: 1 });
      await looked.goto(`${origin}/app`);
      await looked.getByRole('heading', { name: 'The portal does not answer' }).waitFor();
      await looked.getByLabel('E-mail address or user name').waitFor();
      await looked.context().close();
      expect(portal.complaints.splice(0)).toEqual([expect.stringContaining('PortalAwayError')]);
    }, 60_000);
  });

  it.each(LOOKS)(
    'is accessible and never scrolls sideways, signed out and in: $name',
    async ({ name: _name, ...look }) => {
      const looked = await portal.open(look);
      const lookAt = async (path: string): Promise<void> => {
        await looked.goto(`${origin}${path}`);
        await looked.getByRole('heading').first().waitFor();
        await portal.assertSound(looked);
      };
      for (const path of ['/signup', '/login', '/verify?sent=ana%40example.org', `/verify?token=${'a'.repeat(43)}`]) {
        await lookAt(path);
      }
      await portal.signIn(looked, { email: 'ana@example.org', password: 'a long enough password' }, '/login');
      await looked.getByRole('button', { name: 'Account' }).waitFor();
      for (const path of ['/app', '/app/new', '/app/activity', '/nowhere']) {
        await lookAt(path);
      }
      await looked.context().close();
    },
    150_000,
  );

  it('adds a domain of one’s own, shows what to set and why it is not live, and removes it', async () => {
    const [stack]: { slug: string }[] = await t.db.dataSource.query('select slug from tenants limit 1');
    const slug = stack?.slug ?? '';
    const looked = await portal.open({ viewport: { width: 360, height: 740 } });
    await portal.signIn(
      looked,
      { email: 'ana@example.org', password: 'a long enough password' },
      `/app/stacks/${slug}`,
    );
    await looked.getByText('None yet. Once you add bot.example.org', { exact: false }).waitFor();
    await portal.assertSound(looked, 'domains-none');
    await looked.getByLabel('Domain', { exact: true }).fill('*.example.org');
    await looked.getByRole('button', { name: 'Add domain' }).click();
    await looked.getByText('One name at a time').waitFor();
    await looked.getByLabel('Domain', { exact: true }).fill('Bot.Example.org');
    await looked.getByRole('button', { name: 'Add domain' }).click();
    const domain = looked.getByRole('article', { name: 'bot.example.org' });
    await domain.getByText('Waiting for DNS').waitFor();
    await domain.getByText(`${slug}.aviary.localhost`).waitFor();
    await domain.getByRole('button', { name: 'Copy TXT aviary-domain=' }).waitFor();
    // the heads of columns are out of sight on a phone: each cell names itself
    const named: string[] = await looked.evaluate(
      `[...document.querySelectorAll('.aw-domain td')].map((cell) => getComputedStyle(cell, '::before').content)`,
    );
    expect(named.slice(0, 3)).toEqual(['"Type"', '"Name"', '"Value"']);
    expect(named.filter((label) => !/^"(Type|Name|Value)"$/.test(label))).toEqual([]);
    const caption = looked.locator('.aw-domain caption');
    expect((await caption.boundingBox())?.width).toBeGreaterThan(200);
    await portal.assertSound(looked, 'domains-waiting');
    // What the agent finds.
    const set = (values: string): Promise<unknown> => t.db.dataSource.query(`update tenant_domains set ${values}`);
    await set(`problem = 'ADDRESS_OTHER', problem_params = '{"found":"192.0.2.7"}', checked_at = now()`);
    await domain.getByText('The domain leads elsewhere (192.0.2.7)').waitFor();
    await set(
      `problem = null, problem_params = null, verified_at = now(), confirmed_at = now(), certificate_until = now() + interval '90 days'`,
    );
    await domain.getByText('Live').waitFor();
    await domain.getByRole('link', { name: 'bot.example.org' }).waitFor();
    await portal.assertSound(looked);
    await domain.getByRole('button', { name: 'Remove' }).click();
    await looked.getByRole('dialog').getByRole('button', { name: 'Remove domain' }).click();
    await domain.waitFor({ state: 'detached' });
    await looked.context().close();
  }, 120_000);

  it('shows what a stack and its host use, what is near its limit and what only grows', async () => {
    const [stack]: { id: string; slug: string }[] = await t.db.dataSource.query('select id, slug from tenants limit 1');
    const { id = '', slug = '' } = stack ?? {};
    const MIB = 1024 ** 2;
    const limit = 200 * MIB;
    for (let minutes = 150; minutes >= 1; minutes -= 1) {
      const memoryBytes = (190 - minutes / 2) * MIB;
      // away for a while in between: a gap in the line
      if (minutes < 40 || minutes > 60) {
        await recordUsage(t.db.dataSource, {
          engineId: 'local',
          at: new Date(Date.now() - minutes * 60_000),
          stacks: [
            {
              tenantId: id,
              cpu: 0.25,
              memoryBytes,
              diskBytes: minutes % 15 === 0 ? 600 * MIB : null,
              receivedBytes: 6_000,
              sentBytes: 600,
              services: [{ service: 'runtime', cpu: 0.25, memoryBytes, memoryLimitBytes: limit, oomKills: 0, pids: 9 }],
            },
          ],
          engine: {
            cpu: 0.5,
            cores: 2,
            memoryBytes: 3 * 1024 * MIB,
            memoryTotalBytes: 8 * 1024 * MIB,
            diskBytes: 81 * 1024 * MIB,
            diskTotalBytes: 100 * 1024 * MIB,
            receivedBytes: 1,
            sentBytes: 1,
          },
        });
      }
    }
    const operator = await person(t, 'operator');
    for (const look of [
      { viewport: { width: 360, height: 740 }, colorScheme: 'dark' as const },
      { viewport: { width: 1280, height: 900 }, colorScheme: 'light' as const },
    ]) {
      const looked = await portal.open(look);
      await portal.signIn(looked, { email: 'ana@example.org', password: 'a long enough password' }, '/app');
      await looked.getByRole('heading', { name: 'Use', exact: true }).waitFor();
      await looked.getByText('190 MB of', { exact: false }).or(looked.getByText('189.5 MB of')).first().waitFor();
      await looked.getByText('Memory of runtime: 94 % of its limit is used.').waitFor();
      await looked.getByText('Memory of runtime only grows, by 30 MB an hour.', { exact: false }).waitFor();
      await looked.getByRole('img', { name: /^Memory: between 11[5-7] MB and 1(8\d|90) MB\.$/ }).waitFor();
      expect(await looked.locator('canvas').count()).toBeGreaterThan(0);
      await looked.getByText('Processor', { exact: true }).last().click();
      await looked.getByRole('img', { name: 'Processor: between 0.25 cores and 0.25 cores.' }).waitFor();
      await looked.getByText('Disk', { exact: true }).last().click();
      await looked.getByRole('button', { name: 'As a table' }).click();
      await looked.getByRole('row').filter({ hasText: '600 MB' }).first().waitFor();
      await portal.assertSound(looked);
      await looked.context().close();
      const console_ = await portal.open(look);
      await portal.signIn(console_, operator, '/console');
      await console_.getByRole('heading', { name: 'Host local' }).waitFor();
      await console_.getByText('Disk: 81 % of its limit is used.').waitFor();
      await console_.getByRole('img', { name: /^Memory: between 3 GB and 3 GB\.$/ }).waitFor();
      await portal.assertSound(console_, 'host-use');
      await console_.goto(`${origin}/console/stacks/${slug}`);
      await console_.getByRole('heading', { name: 'Use', exact: true }).waitFor();
      await console_.context().close();
    }
  }, 120_000);

  it('keeps the range of use in the address, on a stack’s page and in the console', async () => {
    const looked = await portal.open();
    await portal.signIn(looked, { email: 'ana@example.org', password: 'a long enough password' }, '/app');
    // the range is in the address, and a click on it leaves the page scrolled to it
    const range = looked.getByRole('radiogroup', { name: 'Time' });
    await range.getByText('1 h', { exact: true }).click();
    await looked.waitForURL('**/app?range=hour');
    expect(await looked.evaluate('window.scrollY')).toBeGreaterThan(0);
    await looked.reload();
    await range.waitFor();
    expect(await range.getByRole('radio', { name: '1 h', exact: true }).isChecked()).toBe(true);
    await range.getByText('1 d', { exact: true }).click();
    await looked.waitForURL('**/app');
    await looked.goto(`${origin}/app?range=decade`);
    await range.waitFor();
    expect(await range.getByRole('radio', { name: '1 d', exact: true }).isChecked()).toBe(true);
    await looked.context().close();
    const console_ = await portal.open();
    await portal.signIn(console_, await person(t, 'operator'), '/console');
    const hostRange = console_.getByRole('radiogroup', { name: 'Time' });
    await hostRange.getByText('7 d', { exact: true }).click();
    await console_.waitForURL('**/console?range=week');
    await console_.reload();
    await hostRange.waitFor();
    expect(await hostRange.getByRole('radio', { name: '7 d', exact: true }).isChecked()).toBe(true);
    await console_.context().close();
  }, 60_000);

  it('FM-27 FM-30 says on the stack’s page what is to be known although it goes on, to its owner and to operators', async () => {
    const [stack]: { id: string; slug: string }[] = await t.db.dataSource.query('select id, slug from tenants limit 1');
    const { id = '', slug = '' } = stack ?? {};
    const at = new Date();
    const row = { tenantId: id, message: 'for programs', since: at, seenAt: at };
    await t.db.dataSource.manager.insert(StackWarningEntity, [
      {
        ...row,
        kind: 'disk',
        code: 'DISK_FULL',
        level: 'bad',
        params: { percent: 96, used: '4.80', limit: '5' },
        heldAt: at,
      },
      {
        ...row,
        kind: 'ended',
        code: 'SERVICE_OUT_OF_MEMORY',
        level: 'warn',
        params: { service: 'postgres', times: 2, log: `first\n${'long '.repeat(80)}` },
      },
    ]);
    const operator = await person(t, 'operator');
    for (const [who, path] of [
      [{ email: 'ana@example.org', password: 'a long enough password' }, '/app'],
      [operator, `/console/stacks/${slug}`],
    ] as const) {
      const looked = await portal.open({ viewport: { width: 360, height: 740 } });
      await portal.signIn(looked, who, path);
      const full = looked.locator('[data-code="DISK_FULL"]');
      await full.getByText('It uses 96 % of the disk of its plan (4.80 of 5 GiB).', { exact: false }).waitFor();
      await full.getByText('Its bots are held since').waitFor();
      await looked.getByText('postgres ran out of memory and was started again', { exact: false }).waitFor();
      await portal.assertSound(looked);
      await looked.context().close();
    }
    const list = await portal.open();
    await portal.signIn(list, operator, '/console/stacks');
    await list
      .getByRole('row')
      .filter({ hasText: slug })
      .getByText('It uses 96 % of the disk', { exact: false })
      .waitFor();
    await list.context().close();
  }, 120_000);

  it('keeps a dashboard address over the login, and signs out', async () => {
    await page.getByRole('button', { name: 'Account' }).click();
    await page.getByRole('menuitem', { name: 'Sign out' }).click();
    await page.waitForURL('**/login');
    await page.goto(`${origin}/sign-on?stack=u4k7mzq&state=${'a'.repeat(43)}&next=%2Fbots`);
    await page.getByText('Sign in to open the dashboard of u4k7mzq.').waitFor();
    await page.getByLabel('E-mail address or user name').fill('ana');
    await page.getByLabel('Password', { exact: true }).fill('a long enough password');
    await page.keyboard.press('Enter');
    // not her stack: the page says so instead of going there
    await page.getByRole('heading', { name: 'The dashboard of u4k7mzq cannot be opened' }).waitFor();
  }, 60_000);

  it('asks before it signs anybody in at a domain of the owner’s own', async () => {
    const asked: string[] = [];
    page.on('request', (request) => {
      if (request.method() === 'POST' && request.url().endsWith('/api/v1/sign-on')) {
        asked.push(request.postData() ?? '');
      }
    });
    await page.goto(`${origin}/sign-on?stack=u4k7mzq&state=${'a'.repeat(43)}&next=%2Fbots&host=bot.example.org`);
    await page.getByRole('heading', { name: 'Open u4k7mzq at bot.example.org?' }).waitFor();
    await page.waitForLoadState('networkidle');
    expect(asked).toEqual([]);
    await page.getByRole('button', { name: 'Go on to bot.example.org' }).click();
    await page.getByRole('heading', { name: 'The dashboard of u4k7mzq cannot be opened' }).waitFor();
    expect(asked).toEqual([expect.stringContaining('bot.example.org')]);
  }, 60_000);

  it('ran under its content security policy without a complaint', () => {
    expect(portal.complaints).toEqual([]);
  });
});
