import { Passwords, cleanAccounts } from '#libs/accounts';
import { AccountEntity, AuditEntryEntity, RefreshTokenEntity, SessionEntity, tx } from '#libs/db';
import { moveAccount } from '../../libs/accounts/src/account.repository.js';
import { CLIENT, PASSWORD, SYSTEM, accountServices } from '../support/accounts.js';
import { testDatabase, type TestDatabase } from '../support/postgres.js';

// Several test files and an engine may share two cores.
jest.setTimeout(60_000);

const HOUR = 3_600_000;
const code = (value: string) => ({ code: value });

describe('accounts in use', () => {
  let db: TestDatabase;
  let use: ReturnType<typeof accountServices>;
  beforeEach(async () => {
    db = await testDatabase();
    use = accountServices(db);
  });
  afterEach(() => db.close());

  const verified = async (username: string): Promise<void> => {
    await use.register(username);
    await use.registration.verifyEmail(use.mailed.at(-1)?.token ?? '', CLIENT);
  };
  const login = (identifier: string, password = PASSWORD, device: string | null = null, ip: string = CLIENT.ip) =>
    use.signIn.login({ identifier, password }, { ...CLIENT, ip }, device);
  const actions = async (): Promise<string[]> =>
    (await db.dataSource.getRepository(AuditEntryEntity).find({ order: { id: 'ASC' } })).map((entry) => entry.action);

  describe('sign-in', () => {
    it('opens a session by e-mail address or user name, whatever the case', async () => {
      await verified('ana');
      const first = await login('ANA@example.org');
      const second = await login('Ana');
      expect(first.access.me.username).toBe('ana');
      const signedIn = await use.sessions.signedIn(second.access.accessToken, '198.51.100.1');
      expect(signedIn?.actor).toMatchObject({ kind: 'subscriber', username: 'ana', ip: '198.51.100.1' });
      expect(await use.accounts.me(signedIn?.actor ?? SYSTEM)).toMatchObject({ email: 'ana@example.org' });
    });

    it('says the same of an unknown user as of a wrong password, and locks both alike', async () => {
      await verified('ana');
      for (const name of ['ana', 'nobody']) {
        const answers = [];
        for (let turn = 0; turn < 6; turn += 1) {
          answers.push(await login(name, 'a wrong password').catch((error: unknown) => error));
        }
        expect(answers.slice(0, 5)).toEqual(Array(5).fill(expect.objectContaining(code('INVALID_CREDENTIALS'))));
        expect(answers[5]).toMatchObject({ code: 'ACCOUNT_LOCKED', details: { retryAfterSeconds: 900 } });
      }
    });

    it('costs as much work for an unknown user as for a wrong password', async () => {
      const passwords = new Passwords(10);
      const hash = await passwords.hash(PASSWORD);
      /** Of the processor, whatever else has it meanwhile. */
      const work = async (against: string | null): Promise<number> => {
        const begun = process.cpuUsage();
        for (let turn = 0; turn < 5; turn += 1) {
          expect(await passwords.matches('a wrong password', against)).toBe(false);
        }
        const { user, system } = process.cpuUsage(begun);
        return user + system;
      };
      await work(null);
      const ratio = (await work(null)) / (await work(hash));
      expect(ratio).toBeGreaterThan(0.5);
      expect(ratio).toBeLessThan(2);
    });

    it('locks the account for that network only, for 15 minutes, and refuses the right password meanwhile', async () => {
      await verified('ana');
      for (let turn = 0; turn < 5; turn += 1) {
        await expect(login('ana', 'a wrong password')).rejects.toMatchObject(code('INVALID_CREDENTIALS'));
      }
      await expect(login('ana')).rejects.toMatchObject(code('ACCOUNT_LOCKED'));
      await expect(login('ana@example.org', PASSWORD, null, '203.0.113.200')).rejects.toMatchObject(
        code('ACCOUNT_LOCKED'),
      );
      await expect(login('ana', PASSWORD, null, '198.51.100.1')).resolves.toBeDefined();
      expect(await actions()).toContain('account.lock');
      use.clock.pass(15 * 60_000);
      await expect(login('ana')).resolves.toBeDefined();
    });

    it('lets a known device in through a lock, and gives that device a count of its own', async () => {
      await verified('ana');
      const { deviceToken } = await login('ana');
      for (let turn = 0; turn < 6; turn += 1) {
        await login('ana', 'a wrong password').catch(() => undefined);
      }
      await expect(login('ana')).rejects.toMatchObject(code('ACCOUNT_LOCKED'));
      await expect(login('ana', PASSWORD, 'x'.repeat(43))).rejects.toMatchObject(code('ACCOUNT_LOCKED'));
      const again = await login('ana', PASSWORD, deviceToken);
      expect(again.deviceToken).toBe(deviceToken);
      for (let turn = 0; turn < 5; turn += 1) {
        await expect(login('ana', 'a wrong password', deviceToken)).rejects.toMatchObject(code('INVALID_CREDENTIALS'));
      }
      await expect(login('ana', PASSWORD, deviceToken)).rejects.toMatchObject(code('ACCOUNT_LOCKED'));
    });

    it('never tries more than five passwords, however many arrive at once', async () => {
      await verified('ana');
      const tries = await Promise.all(
        Array.from({ length: 20 }, (_, turn) =>
          login('ana', `wrong password ${turn}`).catch((error: unknown) => error),
        ),
      );
      const codes = tries.map((error) => (error as { code: string }).code);
      expect(codes.filter((one) => one === 'INVALID_CREDENTIALS')).toHaveLength(5);
      expect(codes.filter((one) => one === 'ACCOUNT_LOCKED')).toHaveLength(15);
    });

    it('tells an unverified or banned person why, only with the right password', async () => {
      await use.register('ana');
      await expect(login('ana', 'a wrong password')).rejects.toMatchObject(code('INVALID_CREDENTIALS'));
      for (let turn = 0; turn < 7; turn += 1) {
        await expect(login('ana')).rejects.toMatchObject(code('EMAIL_NOT_VERIFIED'));
      }
      await db.dataSource.getRepository(AccountEntity).update({ username: 'ana' }, { state: 'banned' });
      await expect(login('ana')).rejects.toMatchObject({ code: 'ACCOUNT_NOT_ACTIVE', details: { state: 'banned' } });
    });

    it('does not take a longer password for the 72 bytes bcrypt reads of it', async () => {
      const password = 'p'.repeat(72);
      await use.accounts.create(SYSTEM, { email: 'c@example.org', username: 'cyd', password, role: 'subscriber' });
      await expect(login('cyd', `${password}x`)).rejects.toMatchObject(code('INVALID_CREDENTIALS'));
      await expect(login('cyd', password)).resolves.toBeDefined();
    });
  });

  describe('sessions', () => {
    const tokensOf = async () => db.dataSource.getRepository(RefreshTokenEntity).find();

    it('rotate the refresh token and slide 24 hours with each use', async () => {
      await verified('ana');
      let { refreshToken } = await login('ana');
      for (let turn = 0; turn < 3; turn += 1) {
        use.clock.pass(23 * HOUR);
        const next = await use.sessions.refresh(refreshToken, CLIENT);
        expect(next.refreshToken).not.toBe(refreshToken);
        refreshToken = next.refreshToken ?? '';
      }
      expect(await tokensOf()).toHaveLength(4);
      use.clock.pass(24 * HOUR);
      await expect(use.sessions.refresh(refreshToken, CLIENT)).rejects.toMatchObject(code('TOKEN_EXPIRED'));
    });

    it('end when a used token comes back: for the thief and for the owner', async () => {
      await verified('ana');
      const { refreshToken, access } = await login('ana');
      const second = await use.sessions.refresh(refreshToken, CLIENT);
      use.clock.pass(11_000);
      await expect(use.sessions.refresh(refreshToken, CLIENT)).rejects.toMatchObject(code('TOKEN_REUSED'));
      await expect(use.sessions.refresh(second.refreshToken ?? '', CLIENT)).rejects.toMatchObject(
        code('TOKEN_INVALID'),
      );
      expect(await use.sessions.signedIn(access.accessToken, null)).toBeNull();
      expect(await actions()).toContain('session.token_reused');
    });

    it('give one of two racing tabs the next token and the other access only', async () => {
      await verified('ana');
      const { refreshToken } = await login('ana');
      const tabs = await Promise.all([1, 2, 3].map(() => use.sessions.refresh(refreshToken, CLIENT)));
      expect(tabs.filter((tab) => tab.refreshToken !== null)).toHaveLength(1);
      expect(tabs.every((tab) => tab.access.accessToken.length > 0)).toBe(true);
      expect(await tokensOf()).toHaveLength(2);
      const winner = tabs.find((tab) => tab.refreshToken !== null);
      await expect(use.sessions.refresh(winner?.refreshToken ?? '', CLIENT)).resolves.toBeDefined();
    });

    it('end with sign-out, at once', async () => {
      await verified('ana');
      const { refreshToken, access } = await login('ana');
      await use.sessions.logout(refreshToken, CLIENT);
      await use.sessions.logout(refreshToken, CLIENT);
      await use.sessions.logout('x'.repeat(43), CLIENT);
      expect(await use.sessions.signedIn(access.accessToken, null)).toBeNull();
      await expect(use.sessions.refresh(refreshToken, CLIENT)).rejects.toMatchObject(code('TOKEN_INVALID'));
      expect((await actions()).filter((action) => action === 'account.sign_out')).toHaveLength(1);
    });

    it('end when the account is banned, and access tokens after ten minutes', async () => {
      await verified('ana');
      const { refreshToken, access } = await login('ana');
      use.clock.pass(599_000);
      expect(await use.sessions.signedIn(access.accessToken, null)).not.toBeNull();
      use.clock.pass(2_000);
      expect(await use.sessions.signedIn(access.accessToken, null)).toBeNull();
      const fresh = await use.sessions.refresh(refreshToken, CLIENT);
      await db.dataSource.getRepository(AccountEntity).update({ username: 'ana' }, { state: 'banned' });
      expect(await use.sessions.signedIn(fresh.access.accessToken, null)).toBeNull();
      await expect(use.sessions.refresh(fresh.refreshToken ?? '', CLIENT)).rejects.toMatchObject(code('TOKEN_INVALID'));
    });

    it('end when the account leaves the states that may sign in, also for the gates', async () => {
      await verified('ana');
      await login('ana');
      const account = await db.dataSource.getRepository(AccountEntity).findOneByOrFail({ username: 'ana' });
      const move = (to: 'suspended' | 'banned', from: AccountEntity['state']) =>
        tx(db.dataSource, (inTx) =>
          moveAccount(inTx, { id: account.id, state: from }, to, { updatedAt: use.clock.now() }),
        );
      await move('suspended', 'active');
      const sessions = () => db.dataSource.getRepository(SessionEntity).find();
      expect(await sessions()).toEqual([expect.objectContaining({ revokedAt: null })]);
      await move('banned', 'suspended');
      expect(await sessions()).toEqual([
        expect.objectContaining({ revokedAt: use.clock.now(), revokeReason: 'account_state' }),
      ]);
    });

    it('are removed a week after their end, and not before', async () => {
      await verified('ana');
      const { refreshToken } = await login('ana');
      await use.sessions.logout(refreshToken, CLIENT);
      await login('ana');
      use.clock.pass(6 * 24 * HOUR);
      expect((await cleanAccounts(db.dataSource, use.clock.now())).sessions).toBe(0);
      use.clock.pass(25 * HOUR);
      expect((await cleanAccounts(db.dataSource, use.clock.now())).sessions).toBe(1);
      use.clock.pass(24 * HOUR);
      await cleanAccounts(db.dataSource, use.clock.now());
      expect(await db.dataSource.getRepository(SessionEntity).count()).toBe(0);
    });
  });

  describe('operators', () => {
    it('list people page by page, find them, and make them; subscribers may not', async () => {
      const made = [];
      for (const username of ['ana', 'bob', 'cyd']) {
        const user = { email: `${username}@example.org`, username, password: PASSWORD, role: 'subscriber' as const };
        made.push(await use.accounts.create(SYSTEM, user));
      }
      const first = await use.accounts.list(SYSTEM, { limit: 2 });
      const second = await use.accounts.list(SYSTEM, { limit: 2, cursor: first.next ?? undefined });
      expect([...first.items, ...second.items].map((item) => item.username)).toEqual(['cyd', 'bob', 'ana']);
      expect(second.next).toBeNull();
      expect((await use.accounts.list(SYSTEM, { q: 'BOB@' })).items).toHaveLength(1);
      expect((await use.accounts.list(SYSTEM, { q: '%' })).items).toHaveLength(0);
      const ana = await login('ana');
      const actor = (await use.sessions.signedIn(ana.access.accessToken, null))?.actor ?? SYSTEM;
      await expect(use.accounts.list(actor)).rejects.toMatchObject(code('FORBIDDEN'));
      await expect(
        use.accounts.create(actor, { email: 'd@example.org', username: 'dan', password: PASSWORD, role: 'operator' }),
      ).rejects.toMatchObject(code('FORBIDDEN'));
    });

    it('are named by commands: the one asked for, else the first', async () => {
      expect(await use.accounts.operator(null)).toBeNull();
      for (const username of ['olga', 'omar']) {
        const user = { email: `${username}@example.org`, username, password: PASSWORD, role: 'operator' as const };
        await use.accounts.create(SYSTEM, user);
      }
      expect(await use.accounts.operator(null)).toMatchObject({ username: 'olga', via: 'cli', kind: 'operator' });
      expect(await use.accounts.operator('omar')).toMatchObject({ username: 'omar' });
      await verified('ana');
      await expect(use.accounts.operator('ana')).rejects.toMatchObject(code('NOT_FOUND'));
    });
  });
});
