import { waitFor } from '#libs/async';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core';
import type { Bot, BotList, Market, Overview, TradeList } from '#libs/contracts';
import { dec, presetParams, sum, text } from '#libs/trading';
import { axeFindings } from '../support/axe.js';
import { firstScript } from '../support/browser.js';
import { builtPages, type BuiltPages } from '../support/built-pages.js';
import { forward } from '../support/forward.js';
import { freePort } from '../support/ports.js';
import { TestRedis, TestStack, type RuntimeProcess } from '../support/runtime.js';

// a loaded machine draws slowly; a page that never comes fails by its own deadline
jest.setTimeout(45_000);

/** The built pages, served by a real runtime behind a stand-in for the gate, in a real browser. */
const redis = new TestRedis();
let pages: BuiltPages;
let stack: TestStack;
let runtime: RuntimeProcess;
let gate: Server;
let origin: string;
let browser: Browser;
let context: BrowserContext;
let page: Page;
let signedIn = true;
const complaints: string[] = [];

/** Adds who is asking, as the gate does, and answers its own paths. */
async function startGate(port: number): Promise<Server> {
  const identity = await stack.identity({ ttl: 600 });
  const target = new URL(runtime.origin);
  const server = createServer((incoming, answer) => {
    if (incoming.url?.startsWith('/.aviary/sessions')) {
      answer.setHeader('content-type', 'application/json').end('{"revoked":[]}');
    } else if (incoming.url?.startsWith('/.aviary/')) {
      answer.end('sign in here');
    } else if (!signedIn && incoming.url?.startsWith('/api/')) {
      answer.writeHead(401, { 'content-type': 'application/json' });
      answer.end(JSON.stringify({ code: 'UNAUTHENTICATED', message: 'Sign in.', errorId: 'e', details: {} }));
    } else {
      forward(target, incoming, answer, identity);
    }
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

async function openPage(options: Parameters<Browser['newContext']>[0] = {}): Promise<Page> {
  const opened = await (await browser.newContext({ timezoneId: 'Europe/Berlin', ...options })).newPage();
  opened.on('pageerror', (error) => complaints.push(error.message));
  opened.on('console', (message) => {
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) {
      complaints.push(message.text());
    }
  });
  return opened;
}

beforeAll(async () => {
  [pages] = await Promise.all([builtPages('dashboard'), redis.start()]);
  const port = await freePort();
  origin = `http://127.0.0.1:${port}`;
  stack = await TestStack.create({ redis, dashboardUrl: origin });
  await stack.provision({ tickMs: 50 });
  runtime = await stack.startReady({ dashboard: pages.folder });
  gate = await startGate(port);
  browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
  });
  page = await openPage({ viewport: { width: 1280, height: 900 } });
  context = page.context();
}, 120_000);

afterAll(async () => {
  await browser?.close();
  gate?.closeAllConnections();
  gate?.close();
  await stack?.close();
  await redis.close();
  pages?.remove();
});

const theBot = async (): Promise<Bot> => {
  const [bot] = (await runtime.call<BotList>('GET', '/bots')).items;
  if (bot === undefined) {
    throw new Error('there is no bot');
  }
  return bot;
};

describe('the pages of a stack', () => {
  it('come in their small form to browsers that take it', async () => {
    const { small, plain, refused } = await firstScript(origin);
    expect([small.coding, plain.coding, refused.coding]).toEqual(['br', null, null]);
    expect(small.vary?.toLowerCase()).toContain('accept-encoding');
    expect(plain.vary?.toLowerCase()).toContain('accept-encoding');
    expect(plain.text.length).toBeGreaterThan(100_000);
    expect(small.text).toBe(plain.text);
    expect(refused.text).toBe(plain.text);
  });

  it('begin with three presets on the present price', async () => {
    await page.goto(origin);
    await page.getByRole('heading', { name: 'Start your first bot' }).waitFor();
    await expect(page.title()).resolves.toBe('PAPER · Home · Aviary');
    for (const preset of ['Balanced', 'Wide', 'Narrow']) {
      await page.getByRole('link', { name: `Look at ${preset}`, exact: true }).waitFor();
    }
    await page.getByRole('link', { name: 'Look at Narrow' }).click();
    await page.getByRole('button', { name: 'Start on paper' }).waitFor();
  });

  it('say what is wrong with a grid before it can be started', async () => {
    await page.goto(`${origin}/bots/new?preset=narrow`);
    const upper = page.getByLabel(/^Upper price/);
    const was = await upper.inputValue();
    await upper.fill('1');
    await page.getByText('must be above the lower price').first().waitFor();
    await expect(page.getByRole('button', { name: 'Start on paper' }).isDisabled()).resolves.toBe(true);
    await upper.fill(was);
    await page.getByRole('button', { name: 'Start on paper', disabled: false }).waitFor();
  });

  it('keep a draft over a reload', async () => {
    await page.goto(`${origin}/bots/new`);
    await page.getByText('Stop-loss, take-profit').click();
    await page.getByLabel(/^Stop-loss/).fill('40000,5');
    await page.getByText(/^Draft saved/).waitFor();
    await page.getByLabel('Name').fill('First grid');
    // at once: what is typed may not need a moment of peace to be kept
    await page.reload();
    await page.getByText(/^Your draft of .* is back/).waitFor();
    await expect(page.getByLabel(/^Stop-loss/).inputValue()).resolves.toBe('40000.5');
    await expect(page.getByLabel('Name').inputValue()).resolves.toBe('First grid');
  });

  it('say that the portal is away, and that trading does not wait for it', async () => {
    // this stack's portal answers nobody
    await page.goto(origin);
    await page.locator('.portal-place', { hasText: 'away, trading goes on' }).waitFor({ timeout: 20_000 });
  });

  it('put a draft aside when a link fills the form, and bring it back', async () => {
    await page.goto(`${origin}/bots/new?preset=wide`);
    await page.getByText(/^Your draft of .* was put aside/).waitFor();
    await expect(page.getByLabel('Name').inputValue()).resolves.toBe('');
    // a second link does not destroy what the first one put aside
    await page.goto(`${origin}/bots/new?preset=narrow`);
    await page.getByRole('button', { name: 'Bring it back' }).click();
    await expect(page.getByLabel('Name').inputValue()).resolves.toBe('First grid');
    await page.getByRole('button', { name: 'Drop it' }).click();
    await page.reload();
    await page.getByText(/^Your draft of .* is back/).waitFor();
    await expect(page.getByLabel('Name').inputValue()).resolves.toBe('First grid');
    await expect(page.getByText('was put aside').count()).resolves.toBe(0);
  });

  it('start a bot with what the form showed, and show its fills as they come', async () => {
    await page.getByRole('button', { name: 'Start on paper', disabled: false }).click();
    await page.getByRole('heading', { name: 'First grid' }).waitFor();
    const bot = await theBot();
    expect(page.url()).toContain(bot.id);
    expect(bot).toMatchObject({ name: 'First grid', params: { stopLoss: '40000.5', grids: 10 } });
    // no reload in between: the stream brings them
    await page.getByRole('tab', { name: /^Fills ([3-9]|\d\d+)$/ }).waitFor({ timeout: 60_000 });
  }, 90_000);

  it('pause at once and take it back', async () => {
    await page.goto(`${origin}/bots/${(await theBot()).id}`);
    await page.getByRole('button', { name: 'Pause' }).click();
    await page.getByRole('button', { name: 'Resume' }).waitFor();
    expect((await theBot()).state).toBe('paused');
    await page.getByRole('button', { name: 'Undo' }).click();
    await page.getByRole('button', { name: 'Pause' }).waitFor();
    expect((await theBot()).state).toBe('running');
  });

  it('count what a stop does, focus on Cancel, and do it', async () => {
    await page.goto(`${origin}/bots/${(await theBot()).id}`);
    await page.getByRole('button', { name: 'Stop…' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText(/^Cancels \d+ open orders\.$/).waitFor();
    await dialog.getByText('PAPER').waitFor();
    await dialog.locator('button:focus', { hasText: 'Cancel' }).waitFor();
    await dialog.getByRole('button', { name: 'Stop First grid' }).click();
    await page.locator('.av-pill', { hasText: 'Stopped' }).waitFor();
    expect(await theBot()).toMatchObject({ state: 'stopped', openOrders: { total: 0 } });
  });

  it('show a second bot beside the stopped one', async () => {
    const { pairs } = await runtime.call<Market>('GET', '/market');
    const market = pairs.find(({ pair }) => pair === 'ETH/USDT');
    if (market === undefined) {
      throw new Error('ETH/USDT is not traded');
    }
    await page.goto(`${origin}/bots`);
    await page.getByRole('link', { name: 'First grid' }).waitFor();
    await runtime.call<Bot>('POST', '/bots', {
      pair: market.pair,
      params: presetParams('narrow', market, market.price, '1500'),
      name: 'A second grid whose name is as long as names may be, or so',
      start: true,
    });
    // no reload: the stream brings it
    await page.getByRole('link', { name: 'A second grid' }).waitFor();
    // this page would draw twenty prices a second beside the ones that are looked at
    await page.goto('about:blank');
  });

  it('show on Home what a stopped bot kept, also once it is deleted', async () => {
    const { pairs } = await runtime.call<Market>('GET', '/market');
    const market = pairs.find(({ pair }) => pair === 'BTC/USDT');
    if (market === undefined) {
      throw new Error('BTC/USDT is not traded');
    }
    const { id } = await runtime.call<Bot>('POST', '/bots', {
      pair: market.pair,
      params: presetParams('narrow', market, market.price, '500'),
      name: 'Keeper',
      start: true,
    });
    await page.goto(`${origin}/bots/${id}`);
    await page.getByText(/holds 0\.00\d+ BTC/).waitFor();
    await page.getByRole('button', { name: 'Stop…' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText('It cannot be sold from here yet').waitFor();
    await dialog.getByRole('radio', { name: 'Keep it in the account' }).check();
    await dialog.getByRole('button', { name: 'Stop Keeper' }).click();
    await page.locator('.av-pill', { hasText: 'Stopped' }).waitFor();
    await runtime.call('DELETE', `/bots/${id}`);
    await page.goto(origin);
    const kept = page.locator('.hero-facts div', { hasText: 'Kept by stopped bots' });
    await kept.waitFor();
    // A trade that was on its way when the bot stopped may be booked a moment later, here and there.
    await waitFor(
      async () => {
        const { balances } = await runtime.call<Overview>('GET', '/overview');
        const amount = balances.find(({ asset }) => asset === 'BTC')?.amount ?? '';
        expect(amount).toMatch(/^0\.0*[1-9]/);
        const shown = await kept.innerText();
        // the page writes the zeros at the end that the market's step has
        if (Number(/([\d.]+) BTC/.exec(shown)?.[1]) !== Number(amount)) {
          throw new Error(`${amount} BTC are kept, and the page says: ${shown}`);
        }
        return true;
      },
      { what: 'what is kept on the page', deadlineMs: 30_000 },
    );
    await expect(kept.innerText()).resolves.toMatch(/worth about\s[\d.,]+\sUSDT/);
    await page.goto('about:blank');
  });

  const ROUTES = ['/', '/bots', '/bots/new', '/bots/:id', '/trades', '/settings', '/nowhere'];
  const LOOKS = [
    { name: 'light, 1280', viewport: { width: 1280, height: 900 }, colorScheme: 'light' as const },
    { name: 'dark, 1280', viewport: { width: 1280, height: 900 }, colorScheme: 'dark' as const },
    { name: 'light, phone', viewport: { width: 360, height: 740 }, colorScheme: 'light' as const, hasTouch: true },
    { name: 'dark, phone', viewport: { width: 360, height: 740 }, colorScheme: 'dark' as const, hasTouch: true },
  ];
  it.each(LOOKS)(
    'are accessible and never scroll sideways: $name',
    async ({ name: _name, ...look }) => {
      const { id } = await theBot();
      const looked = await openPage(look);
      const found: string[] = [];
      for (const route of ROUTES) {
        await looked.goto(origin + route.replace(':id', id));
        await looked
          .getByRole('heading', { level: 1 })
          .or(looked.getByRole('heading', { level: 2 }))
          .first()
          .waitFor();
        await looked.locator('.av-dot[data-liveness="live"]').waitFor();
        found.push(...(await axeFindings(looked)).map((finding) => `${route} ${finding}`));
        const sideways = await looked.evaluate(
          'document.documentElement.scrollWidth - document.documentElement.clientWidth',
        );
        if (sideways !== 0) {
          found.push(`${route} scrolls sideways by ${String(sideways)}`);
        }
      }
      await looked.context().close();
      expect(found).toEqual([]);
    },
    180_000,
  );

  it('narrow trades to days, in the address and in the file', async () => {
    await page.goto(`${origin}/trades`);
    const rows = page.locator('tbody tr');
    const { at } = (await runtime.call<TradeList>('GET', '/trades')).items.at(-1) ?? { at: '' };
    const day = new Date(at).toLocaleDateString('sv-SE', { timeZone: 'Europe/Berlin' });
    await page.getByLabel('From', { exact: true }).fill(day);
    await page.waitForURL(({ searchParams }) => searchParams.get('from') === day);
    await rows.first().waitFor();
    const file = await page.getByRole('link', { name: 'Download CSV' }).getAttribute('href');
    expect(new URL(file ?? '', origin).searchParams.get('from')).toMatch(/T2[23]:00:00\.000Z$/);
    await page.getByLabel('To', { exact: true }).fill('2020-01-01');
    await page.getByText('No trades match').waitFor();
    await page.getByRole('button', { name: 'Clear the filters' }).click();
    await rows.first().waitFor();
  });

  it('show trades whose column adds up to its total, to the last digit', async () => {
    // of the stopped bot: nothing is added while the page is read
    const { items } = await runtime.call<BotList>('GET', '/bots');
    const { id } = items.at(-1) ?? (await theBot());
    await page.goto(`${origin}/trades?bot=${id}`);
    const foot = page.locator('tfoot td');
    await foot.first().waitFor();
    const { totals } = await runtime.call<TradeList>('GET', `/trades?bot=${id}`);
    const column = (cells: string[]) => text(sum(cells.map((cell) => cell.replaceAll(',', ''))));
    const shown = async (key: string) => page.locator(`tbody td[data-label="${key}"]`).allInnerTexts();
    while (await page.getByRole('button', { name: 'Show older' }).isVisible()) {
      const before = (await shown('Fee')).length;
      await page.getByRole('button', { name: 'Show older' }).click();
      await page.locator('tbody tr').nth(before).waitFor();
    }
    expect(column(await shown('Fee'))).toBe(totals.fees);
    expect(column(await shown('Value'))).toBe(text(dec(totals.bought).plus(totals.sold)));
    expect(column([await page.locator('tfoot td[data-label="Fee"]').innerText()])).toBe(totals.fees);
  });

  it('find a bot by its name, with the keyboard alone', async () => {
    await page.keyboard.press('Control+k');
    const field = page.getByRole('combobox', { name: 'What are you looking for?' });
    await field.fill('open first');
    await page.getByRole('option', { name: 'Open bot First grid', selected: true }).waitFor();
    expect(await axeFindings(page, '.av-palette')).toEqual([]);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'First grid' }).waitFor();
    await page.goBack();
    await page.locator('tfoot td').first().waitFor();
  });

  it('stay where they are while a part of them does not arrive and the stack is away, and are whole once it is back', async () => {
    const opened = await context.newPage();
    let away = true;
    let asked = 0;
    await opened.route('**/*', async (route) => {
      const isHead = route.request().method() === 'HEAD';
      asked += isHead ? 1 : 0;
      if (away && (isHead || route.request().url().includes('-chart-'))) {
        await route.abort('connectionfailed');
      } else {
        await route.continue();
      }
    });
    await opened.goto(`${origin}/bots/${(await theBot()).id}`);
    await opened.getByRole('button', { name: 'Pause', disabled: false }).waitFor();
    await waitFor(() => (asked > 0 ? true : undefined), { what: 'the page asking for its stack', deadlineMs: 10_000 });
    await opened.evaluate(() => Object.assign(globalThis, { thisVery: 'page' }));
    const isStill = (): Promise<boolean> => opened.evaluate(() => 'thisVery' in globalThis);
    await opened.waitForRequest((request) => request.method() === 'HEAD');
    expect(await isStill()).toBe(true);
    await expect(opened.getByRole('button', { name: 'Pause' }).isVisible()).resolves.toBe(true);
    away = false;
    await opened.locator('canvas').first().waitFor();
    expect(await isStill()).toBe(false);
    await opened.close();
  }, 60_000);

  it('give way to what the gate says once a part of them is refused because the stack is stopped', async () => {
    const opened = await context.newPage();
    const stopped = '<!doctype html><title>Stopped</title><h1>This stack is stopped</h1>';
    let refused = false;
    await opened.route('**/*', async (route) => {
      const request = route.request();
      refused ||= request.url().includes('-chart-');
      if (!refused) {
        await route.continue();
      } else if (request.isNavigationRequest()) {
        await route.fulfill({ status: 503, contentType: 'text/html', body: stopped });
      } else {
        await route.fulfill({ status: 503, json: { error: { code: 'UNAVAILABLE' } } });
      }
    });
    await opened.goto(`${origin}/bots/${(await theBot()).id}`);
    await opened.getByRole('heading', { name: 'This stack is stopped' }).waitFor();
    await opened.close();
  }, 60_000);

  it('say since when values are old while the stack is away, and come back by themselves', async () => {
    const acting = await context.newPage();
    await acting.goto(`${origin}/bots/${(await theBot()).id}`);
    await acting.getByRole('button', { name: 'Pause', disabled: false }).waitFor();
    await runtime.stop();
    // what would be changed may have changed meanwhile
    await acting.getByRole('button', { name: 'Pause', disabled: true }).waitFor({ timeout: 30_000 });
    await expect(acting.getByRole('button', { name: 'Stop…' }).isDisabled()).resolves.toBe(true);
    await acting.close();
    await page.locator('.av-dot[data-liveness="stale"]').waitFor({ timeout: 30_000 });
    await page.getByText('No word from your stack. Bots trade on').waitFor();
    await expect(page.locator('tfoot td').first().isVisible()).resolves.toBe(true);
    gate.closeAllConnections();
    const port = new URL(origin).port;
    gate.close();
    runtime = await stack.startReady({ dashboard: pages.folder });
    gate = await startGate(Number(port));
    await page.locator('.av-dot[data-liveness="live"]').waitFor({ timeout: 45_000 });
  }, 120_000);

  it('go to sign in when the session ended, and name the way back', async () => {
    signedIn = false;
    // as the runtime ends the stream of a revoked session
    gate.closeAllConnections();
    await page.waitForURL('**/.aviary/start?next=*');
    expect(new URL(page.url()).searchParams.get('next')).toMatch(/^\/trades\?bot=/);
    signedIn = true;
  });

  it('complained about nothing meanwhile', async () => {
    await context.close();
    expect(complaints).toEqual([]);
  });
});
