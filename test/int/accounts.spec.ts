import { Passwords, currentDisclaimer, cleanAccounts } from '#libs/accounts';
import { AccountEntity, AuditEntryEntity, DisclaimerAcceptanceEntity, MailTokenEntity, SignUpEntity } from '#libs/db';
import { CLIENT, PASSWORD, SYSTEM, accountServices } from '../support/accounts.js';
import { testDatabase, type TestDatabase } from '../support/postgres.js';

// Several test files and an engine may share two cores.
jest.setTimeout(60_000);

const HOUR = 3_600_000;
const code = (value: string) => ({ code: value });

describe('accounts', () => {
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

  describe('registration', () => {
    it('makes a pending account, keeps proof of the accepted text, and mails one link', async () => {
      const me = await use.register('ana');
      expect(me).toMatchObject({ state: 'pending', role: 'subscriber', plan: 'free', trialEndsAt: null });
      const acceptance = await db.dataSource.getRepository(DisclaimerAcceptanceEntity).findOneByOrFail({});
      expect(acceptance).toMatchObject({
        accountId: me.id,
        version: currentDisclaimer().version,
        sha256: currentDisclaimer().sha256,
        ip: CLIENT.ip,
        acceptedAt: use.clock.now(),
      });
      expect(use.mailed).toHaveLength(1);
      expect(await actions()).toEqual(['account.register', 'disclaimer.accept']);
      const stored = JSON.stringify([
        await db.dataSource.getRepository(AccountEntity).find(),
        await db.dataSource.getRepository(MailTokenEntity).find(),
        await db.dataSource.getRepository(AuditEntryEntity).find(),
      ]);
      expect(stored).not.toContain(PASSWORD);
      expect(stored).not.toContain(use.mailed[0]?.token);
    });

    it('hashes with bcrypt at cost 12 unless told otherwise', async () => {
      expect(await new Passwords().hash(PASSWORD)).toMatch(/^\$2b\$12\$/);
    });

    it('refuses an old disclaimer and a taken name, also at the same time', async () => {
      const input = { email: 'ana@example.org', username: 'ana', password: PASSWORD };
      await expect(use.registration.register({ ...input, disclaimerVersion: '0.9.0' }, CLIENT)).rejects.toMatchObject(
        code('DISCLAIMER_REQUIRED'),
      );
      const results = await Promise.allSettled([use.register('ana'), use.register('ana')]);
      expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
      const version = { disclaimerVersion: currentDisclaimer().version };
      await expect(
        use.registration.register({ ...input, ...version, email: 'other@example.org' }, CLIENT),
      ).rejects.toMatchObject(code('USERNAME_TAKEN'));
      expect(await db.dataSource.getRepository(AccountEntity).count()).toBe(1);
      expect(use.mailed).toHaveLength(1);
    });

    describe('with an address that an account has', () => {
      const NOBODY = 'nobody@example.org';
      const ATTEMPT = { password: 'another long password', disclaimerVersion: currentDisclaimer().version };
      const signUp = async (email: string, username: string) =>
        (await use.registration.register({ ...ATTEMPT, email, username }, CLIENT)).me;
      const codeOf = (work: Promise<unknown>): Promise<string> =>
        work.then(
          () => 'ok',
          (error: unknown) => (error as { code: string }).code,
        );

      it('is answered and goes on as with a new one, in all that a stranger can ask; only the mail tells', async () => {
        await verified('ana');
        use.clock.pass(HOUR);
        use.mailed.length = 0;
        const seen: string[][] = [];
        for (const [email, username] of [
          ['ana@example.org', 'mallory'],
          [NOBODY, 'nell'],
        ] as const) {
          const me = await signUp(email, username);
          expect(me).toMatchObject({ email, username, state: 'pending', plan: 'free', trialEndsAt: null });
          const answers = [
            await codeOf(signUp('third@example.org', username)),
            await codeOf(signUp(email, `${username}-again`)),
            await codeOf(login(email, ATTEMPT.password)),
            await codeOf(login(username, ATTEMPT.password)),
          ];
          // Guesses lock alike, by address and by name, and a further sign-up does not open the lock for either.
          for (let turn = 0; turn < 6; turn += 1) {
            answers.push(await codeOf(login(email, 'a wrong password')));
          }
          answers.push(await codeOf(signUp(email, `${username}-later`)));
          answers.push(await codeOf(login(email, ATTEMPT.password)), await codeOf(login(username, 'a wrong password')));
          seen.push(answers);
        }
        expect(seen[0]?.slice(0, 4)).toEqual(['USERNAME_TAKEN', 'ok', 'EMAIL_NOT_VERIFIED', 'EMAIL_NOT_VERIFIED']);
        expect(seen[0]?.slice(4, 10)).toEqual([...Array<string>(5).fill('INVALID_CREDENTIALS'), 'ACCOUNT_LOCKED']);
        expect(seen[0]?.slice(10)).toEqual(['ok', 'ACCOUNT_LOCKED', 'INVALID_CREDENTIALS']);
        expect(seen[1]).toEqual(seen[0]);
        expect(use.mailed.filter(({ to }) => to === 'ana@example.org')).toEqual([]);
        expect(use.taken).toEqual([{ to: 'ana@example.org', username: 'ana' }]);
        // And the account itself is as it was.
        await expect(login('ana@example.org', PASSWORD, null, '198.51.100.1')).resolves.toBeDefined();
      });

      it('gives no right to guess more often: the right password of one’s own sign-up resets nothing', async () => {
        await verified('ana');
        use.clock.pass(HOUR);
        await signUp('ana@example.org', 'mallory');
        const answers: string[] = [];
        for (let turn = 0; turn < 6; turn += 1) {
          answers.push(await codeOf(login('ana@example.org', 'a wrong password')));
          answers.push(await codeOf(login('ana@example.org', ATTEMPT.password)));
        }
        expect(answers.filter((one) => one === 'INVALID_CREDENTIALS')).toHaveLength(5);
        expect(answers.slice(-2)).toEqual(['ACCOUNT_LOCKED', 'ACCOUNT_LOCKED']);
      });

      it('belongs to whoever confirms it, and all other links to it are void then', async () => {
        await signUp(NOBODY, 'mallory');
        use.clock.pass(HOUR);
        await signUp(NOBODY, 'nell');
        expect(use.mailed.map(({ to }) => to)).toEqual([NOBODY, NOBODY]);
        const [first, second] = use.mailed.map(({ token }) => token);
        await expect(use.registration.verifyEmail(second ?? '', CLIENT)).resolves.toMatchObject({ username: 'nell' });
        await expect(use.registration.verifyEmail(first ?? '', CLIENT)).rejects.toMatchObject(code('TOKEN_INVALID'));
        use.mailed.length = 0;
        use.clock.pass(HOUR);
        await use.registration.resend(NOBODY, CLIENT);
        expect(use.mailed).toEqual([]);
        await expect(login(NOBODY, ATTEMPT.password)).resolves.toMatchObject({ access: { me: { username: 'nell' } } });
      });

      it('gets one mail a minute, whoever asks', async () => {
        await verified('ana');
        use.clock.pass(HOUR);
        for (const name of ['one', 'two', 'three']) {
          await signUp('ana@example.org', name);
          await signUp(NOBODY, `${name}-too`);
        }
        expect(use.taken).toHaveLength(1);
        expect(use.mailed.filter(({ to }) => to === NOBODY)).toHaveLength(1);
        use.clock.pass(61_000);
        await use.registration.resend(NOBODY, CLIENT);
        await use.registration.verifyEmail(use.mailed.at(-1)?.token ?? '', CLIENT);
        await expect(login('three-too', ATTEMPT.password)).resolves.toBeDefined();
      });

      it('is told to operators, who make accounts by hand', async () => {
        await verified('ana');
        await expect(
          use.accounts.create(SYSTEM, {
            email: 'ana@example.org',
            username: 'other',
            password: PASSWORD,
            role: 'subscriber',
          }),
        ).rejects.toMatchObject(code('EMAIL_TAKEN'));
        // One that was only typed in by somebody does not keep an operator from making the account.
        await signUp(NOBODY, 'mallory');
        await expect(
          use.accounts.create(SYSTEM, { email: NOBODY, username: 'nell', password: PASSWORD, role: 'subscriber' }),
        ).resolves.toMatchObject({ state: 'active' });
        await expect(use.registration.verifyEmail(use.mailed.at(-1)?.token ?? '', CLIENT)).rejects.toMatchObject(
          code('TOKEN_INVALID'),
        );
      });
    });

    describe('with a key', () => {
      const input = {
        email: 'ana@example.org',
        username: 'ana',
        password: PASSWORD,
        disclaimerVersion: currentDisclaimer().version,
      };
      const register = (change: Partial<typeof input> = {}, key = 'key-1') =>
        use.registration.register({ ...input, ...change }, CLIENT, key);

      it('makes one account, however often and at once it is sent, and one mail', async () => {
        const answers = await Promise.all([register(), register(), register()]);
        expect(new Set(answers.map(({ me }) => me.id)).size).toBe(1);
        expect(answers.filter(({ replayed }) => !replayed)).toHaveLength(1);
        expect(await register()).toEqual({ me: answers[0]?.me, replayed: true });
        expect(use.mailed).toHaveLength(1);
        expect(await db.dataSource.getRepository(AccountEntity).count()).toBe(1);
      });

      it('refuses another request under the same key, also one with another password only', async () => {
        await register();
        for (const change of [
          { email: 'other@example.org' },
          { username: 'other' },
          { password: 'quite another password' },
        ]) {
          await expect(register(change)).rejects.toMatchObject(code('IDEMPOTENCY_KEY_REUSED'));
        }
        const both = await Promise.allSettled([
          register({ email: 'b@example.org', username: 'bob' }, 'key-2'),
          register({ email: 'c@example.org', username: 'cyd' }, 'key-2'),
        ]);
        expect(both.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
        expect(both.find((one) => one.status === 'rejected')?.reason).toMatchObject(code('IDEMPOTENCY_KEY_REUSED'));
      });

      it('keeps nothing of the password that is easier to guess than its bcrypt hash, and the key for a day', async () => {
        await register();
        const [row] = await db.dataSource.getRepository(SignUpEntity).find();
        expect(JSON.stringify(row)).not.toContain('key-1');
        const other = await db.dataSource.getRepository(SignUpEntity).find();
        await use.registration.register({ ...input, email: 'b@example.org', username: 'bob' }, CLIENT, 'key-2');
        expect(other).toHaveLength(1);
        use.clock.pass(25 * HOUR);
        await cleanAccounts(db.dataSource, use.clock.now());
        expect(await db.dataSource.getRepository(SignUpEntity).count()).toBe(0);
        await expect(register()).rejects.toMatchObject(code('USERNAME_TAKEN'));
      });
    });

    it('verifies by the link, once, and starts seven days of trial', async () => {
      await use.register('ana');
      const token = use.mailed[0]?.token ?? '';
      use.clock.pass(23 * HOUR);
      const me = await use.registration.verifyEmail(token, CLIENT);
      expect(me.state).toBe('active');
      expect(new Date(me.trialEndsAt ?? 0).getTime() - use.clock.now().getTime()).toBe(7 * 24 * HOUR);
      await expect(use.registration.verifyEmail(token, CLIENT)).rejects.toMatchObject(code('TOKEN_INVALID'));
      await expect(use.registration.verifyEmail('x'.repeat(43), CLIENT)).rejects.toMatchObject(code('TOKEN_INVALID'));
    });

    it('lets one of two clicks at the same moment through', async () => {
      await use.register('ana');
      const token = use.mailed[0]?.token ?? '';
      const clicks = await Promise.allSettled([1, 2, 3].map(() => use.registration.verifyEmail(token, CLIENT)));
      expect(clicks.filter((click) => click.status === 'fulfilled')).toHaveLength(1);
    });

    it('refuses a link after 24 hours, and a new one then works', async () => {
      await use.register('ana');
      use.clock.pass(24 * HOUR);
      await expect(use.registration.verifyEmail(use.mailed[0]?.token ?? '', CLIENT)).rejects.toMatchObject(
        code('TOKEN_EXPIRED'),
      );
      await use.registration.resend('ana@example.org', CLIENT);
      expect(use.mailed).toHaveLength(2);
      await expect(use.registration.verifyEmail(use.mailed[1]?.token ?? '', CLIENT)).resolves.toMatchObject({
        state: 'active',
      });
    });

    it('resends to waiting addresses only, once a minute, and answers all alike', async () => {
      await verified('bob');
      await use.register('ana');
      for (const email of ['nobody@example.org', 'bob@example.org', 'ana@example.org']) {
        await expect(use.registration.resend(email, CLIENT)).resolves.toBeUndefined();
      }
      expect(use.mailed).toHaveLength(2);
      use.clock.pass(61_000);
      await Promise.all([1, 2, 3].map(() => use.registration.resend('ana@example.org', CLIENT)));
      expect(use.mailed.map((mail) => mail.to)).toEqual(['bob@example.org', 'ana@example.org', 'ana@example.org']);
    });
  });
});
