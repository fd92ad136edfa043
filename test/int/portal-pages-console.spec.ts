import type { Page } from 'playwright-core';
import { HoldEntity, ScheduleEntity, ScheduleTickEntity, TenantEntity } from '#libs/db';
import { DutyWatch, settleAlarms, type Finding } from '#libs/jobs';
import { createLogger } from '#libs/telemetry';
import { person, stackOf, type TestPerson } from '../support/api.js';
import { engineFigures, engineWithAgents, OWNER, STANDS_BY } from '../support/engine-rows.js';
import { LOOKS, portalBrowser, type PortalBrowser } from '../support/portal-browser.js';

/** The console's page of alarms and recurring work, and what an operator chooses from, in a real browser. */
jest.setTimeout(120_000);

const MINUTE = 60_000;
let portal: PortalBrowser;
let operator: TestPerson;
let page: Page;

beforeAll(async () => {
  portal = await portalBrowser();
  operator = await person(portal.t, 'operator');
  page = await portal.open();
}, 180_000);
afterAll(async () => {
  await portal?.close();
});

const settle = (findings: Finding[]) => settleAlarms(portal.t.db.dataSource, 'proxy', { findings }, new Date());
const silent: Finding = {
  key: 'proxy/silent',
  code: 'PROXY_SILENT',
  severity: 'critical',
  message: 'The proxy does not answer and a restart did not help. See the log of its container.',
  params: {},
};

describe('alarms and recurring work in the console', () => {
  it('says that all is well, and before any worker ran what to do', async () => {
    await portal.signIn(page, operator, '/console');
    await page.getByRole('link', { name: 'Alarms', exact: true }).last().click();
    await page.waitForURL('**/console/alarms');
    await page.getByRole('heading', { name: 'Alarms and recurring work' }).waitFor();
    await page.getByText('Recurring work is done, queues are worked off', { exact: false }).waitFor();
    await page.getByText('No worker has run yet').waitFor();
    await page.getByText('None ended within the last week.').waitFor();
    await portal.assertSound(page, 'alarms-none');
  });

  it('FM-11 shows each schedule with its last, next and missed runs, and the alarm of the missed one', async () => {
    const now = Math.floor(Date.now() / MINUTE) * MINUTE;
    const schedules = [
      { name: 'audit-seal', cron: '* * * * *', job: 'audit.seal', graceSeconds: 240, createdAt: new Date(now - 864e5) },
      {
        name: 'sessions-clean',
        cron: '17 * * * *',
        job: 'sessions.clean',
        graceSeconds: 900,
        createdAt: new Date(now),
      },
      {
        name: 'alarms-mail',
        cron: '* * * * *',
        job: 'alarms.mail',
        graceSeconds: 240,
        createdAt: new Date(now - 864e5),
      },
    ];
    const database = portal.t.db.dataSource;
    await database.getRepository(ScheduleEntity).insert(schedules);
    // done to the last minute, and once too late; the other for the last time half an hour ago
    for (const [schedule, minutes, late] of [
      ['alarms-mail', 0, 1],
      ['alarms-mail', 90, 10 * MINUTE],
      ['audit-seal', 30, 1],
    ] as const) {
      const dueAt = new Date(now - minutes * MINUTE);
      const finishedAt = new Date(dueAt.getTime() + late);
      await database.getRepository(ScheduleTickEntity).insert({ schedule, dueAt, createdAt: dueAt, finishedAt });
    }
    const watch = new DutyWatch({ database, logger: createLogger('test', 'silent'), now: () => new Date() });
    await watch.turn();
    await watch.turn();
    await page.getByText('1 open alarm', { exact: true }).waitFor();
    await page.getByText('The run of audit-seal due at', { exact: false }).waitFor();
    const row = (name: string) => page.getByRole('row').filter({ hasText: name });
    await row('audit-seal').getByText('Missed', { exact: true }).waitFor();
    const cells = await row('audit-seal').getByRole('cell').allInnerTexts();
    // some minute may have passed since the rows were written
    expect(Number(cells[4])).toBeGreaterThanOrEqual(25);
    expect(Number(cells[4])).toBeLessThanOrEqual(29);
    const done = await row('alarms-mail').getByRole('cell').allInnerTexts();
    expect([done[1], done[4], done[5]]).toEqual(['Done', '0', '1']);
    await row('sessions-clean').getByText('Waits for its first run').waitFor();
    expect((await row('sessions-clean').getByRole('cell').allInnerTexts())[3]).toMatch(/^\d\d:17$|^\d+ \w+,? \d\d:17$/);
    await portal.assertSound(page, 'alarms-missed');
  });

  it('counts alarms on the overview, has one acknowledged by keyboard, and shows when it is over', async () => {
    await settle([silent]);
    await page.goto(`${portal.origin}/console`);
    await page.getByRole('link', { name: /^Alarms 2/ }).waitFor();
    await page.getByRole('listitem').filter({ hasText: 'The proxy does not answer proxy/silent' }).waitFor();
    await portal.assertSound(page, 'alarms-overview');
    await page.goto(`${portal.origin}/console/alarms`);
    const acknowledge = page.getByRole('button', { name: 'Acknowledge proxy/silent' });
    await acknowledge.focus();
    await page.keyboard.press('Enter');
    await page.getByText(`Acknowledged by ${operator.username} at`, { exact: false }).waitFor();
    expect(await acknowledge.count()).toBe(0);
    for (const { name: _name, ...look } of LOOKS) {
      await page.setViewportSize(look.viewport);
      await page.emulateMedia({ colorScheme: look.colorScheme });
      await portal.assertSound(page, 'alarms-acknowledged');
    }
    await settle([]);
    const over = page.getByRole('row').filter({ hasText: 'proxy/silent' });
    await over.getByText('The proxy does not answer').waitFor();
    await page.goto(`${portal.origin}/console`);
    await page.getByRole('link', { name: /^Alarms 1/ }).waitFor();
  });

  it('says that alarms cannot be read, and an acknowledgement that failed', async () => {
    await settle([silent]);
    await page.goto(`${portal.origin}/console/alarms`);
    const acknowledge = page.getByRole('button', { name: 'Acknowledge proxy/silent' });
    await acknowledge.waitFor();
    await page.route('**/api/v1/operator/alarms**', (route) => route.fulfill({ status: 500, body: '{}' }));
    await acknowledge.click();
    await page.getByText('The alarm was not acknowledged').waitFor();
    await page.reload();
    await page.getByText('The alarms could not be loaded').waitFor({ timeout: 30_000 });
    await portal.assertSound(page, 'alarms-failed');
    await page.unroute('**/api/v1/operator/alarms**');
    // by itself, as the page looks again
    await acknowledge.waitFor();
  });
});

describe('engines on the first page of the console', () => {
  const database = () => portal.t.db.dataSource;
  const term = (name: string) => page.locator('.av-facts > div').filter({ has: page.getByText(name, { exact: true }) });

  it('says what is not known, and names one whose agent is silent', async () => {
    await database().query(`update engines set seen_at = now() - interval '2 minutes'`);
    await page.goto(`${portal.origin}/console`);
    await page.getByRole('heading', { name: 'Engine local' }).waitFor();
    await term('Works on it').getByText('nobody yet').waitFor();
    await term('Its agent’s figures').getByText('not known').waitFor();
    await page.getByRole('listitem').filter({ hasText: 'Its agent gives no sign of life' }).waitFor();
    await page.getByText('local, as its agent said', { exact: false }).waitFor();
  });

  it('tells who works on it, who would take over, its last pass and its routes', async () => {
    await engineWithAgents(database(), 'local');
    await page.goto(`${portal.origin}/console`);
    await page.getByText(/pass 1\.8 s at \d\d:\d\d:\d\d/).waitFor();
    await page.getByText('routes served 412 of 412').waitFor();
    await term('Works on it').getByText(OWNER).waitFor();
    await term('Stands by').getByText(STANDS_BY).waitFor();
    await term('Last whole pass').getByText('1.8 s over 412 stacks').waitFor();
    await term('Reconcile lag').getByText('42 s').waitFor();
    await term('Routes served').getByText('412 of 412').waitFor();
    await term('New route served after').getByText('0.3 s').waitFor();
    await term('Proxy repaired').getByText('3 × files written again, 1 × restarted').waitFor();
    await term('Orders left: portal').getByText('3 of 4 in a week', { exact: false }).waitFor();
    expect(await page.getByText('Its agent gives no sign of life').count()).toBe(0);
    for (const { name: _name, ...look } of LOOKS) {
      await page.setViewportSize(look.viewport);
      await page.emulateMedia({ colorScheme: look.colorScheme });
      await portal.assertSound(page, 'engines');
    }
    const at = new Date().toISOString();
    await engineWithAgents(database(), 'local', engineFigures({ routes: { at, rendered: 412, served: 411 } }));
    // by itself, as the page looks again
    await page.getByRole('listitem').filter({ hasText: 'Its proxy does not serve every route' }).waitFor();
    await page.getByText('routes served 411 of 412').waitFor();
  });
});

describe('an operator who changes the limits of a stack', () => {
  it('chooses from the plans there are, with the present one named, and the stack is asked for that one', async () => {
    const { stack } = await stackOf(portal.t, await person(portal.t));
    await portal.t.db.dataSource.query(`update operations set state = 'done', finished_at = now()`);
    await page.goto(`${portal.origin}/console/stacks/${stack.slug}`);
    await page.getByRole('button', { name: 'More actions' }).click();
    await page.getByRole('menuitem', { name: 'Change limits…' }).click();
    const dialog = page.getByRole('dialog');
    const choice = dialog.getByLabel('Plan', { exact: true });
    await choice.waitFor();
    const press = dialog.getByRole('button', { name: 'Change limits' });
    expect(await press.isDisabled()).toBe(true);
    const options = await choice.getByRole('option').allInnerTexts();
    expect(options.filter((text) => text.includes('as now'))).toHaveLength(1);
    await choice.selectOption('pro');
    await dialog.getByText('of the plan pro', { exact: false }).waitFor();
    await portal.assertSound(page, 'resize');
    await press.click();
    await dialog.waitFor({ state: 'hidden' });
    const rows: { kind: string; limits: object }[] = await portal.t.db.dataSource.query(
      `select o.kind, t.limits = p.limits as limits from operations o join tenants t on t.id = o.tenant_id, plans p
        where t.slug = $1 and p.code = 'pro' and o.kind = 'resize'`,
      [stack.slug],
    );
    expect(rows).toEqual([{ kind: 'resize', limits: true }]);
  });
});

describe('the owner of a stack that is not as wanted', () => {
  it('reads its state, since when, why, and what happens next', async () => {
    const owner = await person(portal.t);
    const { stack, operation } = await stackOf(portal.t, owner);
    const database = portal.t.db.dataSource;
    const ended = new Date(Date.now() - 2_000);
    await database.query(`update operations set state = 'failed', finished_at = $2 where id = $1`, [
      operation.id,
      ended,
    ]);
    const broken = async (change: object): Promise<void> => {
      const base = { observed: 'failed', observedSince: ended, checkedAt: new Date() } as const;
      await database.getRepository(TenantEntity).update({ id: stack.id }, { ...base, ...change });
    };
    await broken({ reason: 'x', reasonCode: 'NOT_RUNNING', reasonParams: { services: 'postgres' } });
    const own = await portal.open();
    await portal.signIn(own, owner, '/app');
    await own.getByText('Needs attention').first().waitFor();
    await own.getByText(/^since \d\d:\d\d$/).waitFor();
    await own.getByText('Not running: postgres.').waitFor();
    const layers = own.getByRole('region', { name: 'Health by layer' }).getByRole('listitem');
    expect(await layers.allInnerTexts()).toEqual([
      expect.stringMatching(/^Certificate\s+Not known$/),
      expect.stringMatching(/^Address and proxy\s+Not known$/),
      expect.stringMatching(/^Bot runtime\s+Not known$/),
      expect.stringMatching(/^PostgreSQL\s+Fails$/),
      expect.stringMatching(/^Redis\s+Not known$/),
      expect.stringMatching(/^Containers\s+Fails$/),
      expect.stringMatching(/^Data volumes\s+Works$/),
    ]);
    await own.getByText(/^It is repaired by itself at \d\d:\d\d:\d\d, attempt 2 of 4\./).waitFor();
    await portal.assertSound(own, 'stack-repairs');
    await broken({ reason: 'x', reasonCode: 'HEALTH_GATE_FAILED', reasonParams: { layer: 'route' } });
    await own.getByText('which is seen to; the stack is not restarted', { exact: false }).waitFor();
    await broken({ reason: 'x', reasonCode: 'REDIS_AWAY', reasonParams: {} });
    await own.getByText('Redis of this stack does not answer as it should.', { exact: false }).waitFor();
    await database
      .getRepository(HoldEntity)
      .insert({ tenantId: stack.id, reason: 'breaker', note: 'x', createdAt: new Date() });
    await broken({ reason: 'x', reasonCode: 'REPAIRS_FAILED', reasonParams: { failures: 4, last: 'No room.' } });
    await own.getByText('4 attempts to repair the stack failed', { exact: false }).waitFor();
    await own.getByText('Nothing more is tried by itself.', { exact: false }).waitFor();
    await portal.assertSound(own, 'stack-broken');
    await database.getRepository(HoldEntity).delete({ tenantId: stack.id });
    await broken({ desired: 'stopped', observed: 'stopped', reason: null, reasonCode: null, reasonParams: null });
    await own.getByText('Nothing, until somebody starts it. Its data is kept.').waitFor();
    await own.context().close();
  });
});

it('ran under its content security policy without a complaint', () => {
  expect(portal.complaints).toEqual([]);
});
