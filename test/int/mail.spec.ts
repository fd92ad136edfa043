import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { SMTPServer } from 'smtp-server';
import { waitFor } from '#libs/async';
import type { Actor } from '#libs/contracts';
import { newId, OutboxMailEntity, tx } from '#libs/db';
import { createQueue, type Queue } from '#libs/jobs';
import { MailDelivery, MailSender, OutboxService, PortalAccountMails } from '#libs/support';
import { createLogger } from '#libs/telemetry';
import { testDatabase, type TestDatabase } from '../support/postgres.js';

// Several test files and an engine may share two cores.
jest.setTimeout(60_000);

interface Received {
  from: string;
  to: string[];
  body: string;
}
type Answer = { code: number; text: string } | null;

const FROM = 'Aviary <no-reply@aviary.example>';
const operator: Actor = { kind: 'system', name: 'test' };
const now = (): Date => new Date();

/** A real SMTP server that refuses RCPT or DATA as the test says, turn by turn. */
class TestSmtp {
  readonly received: Received[] = [];
  readonly answers: Answer[] = [];
  attempts = 0;
  private readonly password = randomBytes(8).toString('hex');
  private readonly server = new SMTPServer({
    hideSTARTTLS: true,
    logger: false,
    onAuth: (auth, _session, done) =>
      auth.password === this.password ? done(null, { user: 'portal' }) : done(new Error('wrong password')),
    onRcptTo: (_address, _session, done) => {
      this.attempts += 1;
      const answer = this.answers.shift();
      done(answer ? Object.assign(new Error(answer.text), { responseCode: answer.code }) : null);
    },
    onData: (stream, session, done) => {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => {
        this.received.push({
          from: session.envelope.mailFrom ? session.envelope.mailFrom.address : '',
          to: session.envelope.rcptTo.map((entry) => entry.address),
          body: Buffer.concat(chunks).toString(),
        });
        done();
      });
    },
  });

  async start(): Promise<void> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server.server, 'listening');
  }
  url(password = this.password): string {
    return `smtp://portal:${password}@127.0.0.1:${(this.server.server.address() as AddressInfo).port}`;
  }
  stop(): Promise<void> {
    return new Promise((resolve) => this.server.close(() => resolve()));
  }
}

describe('mail', () => {
  let db: TestDatabase;
  let queue: Queue;
  let outbox: OutboxService;
  let smtp: TestSmtp;
  const senders: MailSender[] = [];

  beforeEach(async () => {
    db = await testDatabase();
    queue = createQueue({ url: db.url, applicationName: 'test', logger: createLogger('test', 'silent') });
    await queue.start();
    outbox = new OutboxService({ database: db.dataSource, queue, now });
    smtp = new TestSmtp();
    await smtp.start();
  });
  afterEach(async () => {
    senders.splice(0).forEach((sender) => sender.close());
    await queue.stop(1_000);
    await smtp.stop();
    await db.close();
  });

  const put = (to = 'ana@example.org', subject = 'Hello'): Promise<string> =>
    tx(db.dataSource, (inTx) => outbox.put(inTx, to, { subject, text: 'In words.', html: '<p>In words.</p>' }));
  const mail = (id: string) => db.dataSource.getRepository(OutboxMailEntity).findOneByOrFail({ id });
  const settled = (id: string) =>
    waitFor(
      async () => {
        const row = await mail(id);
        return row.state === 'queued' ? undefined : row;
      },
      { what: 'the mail', deadlineMs: 30_000 },
    );
  function delivery(url: string | null): MailDelivery {
    const sender = url ? new MailSender(url, FROM) : null;
    if (sender) {
      senders.push(sender);
    }
    return new MailDelivery({ database: db.dataSource, sender, now });
  }
  const work = (made: MailDelivery): Promise<void> =>
    queue.work({ 'mail.send': ({ mailId }, context) => made.deliver(mailId, context) });

  it('is sent through a real server, in words and HTML, with a link that is the token', async () => {
    await work(delivery(smtp.url()));
    const mails = new PortalAccountMails(outbox, 'https://aviary.example');
    const token = randomBytes(32).toString('base64url');
    await tx(db.dataSource, (inTx) =>
      mails.verifyEmail(inTx, { to: 'ana@example.org', username: 'ana', token, expiresAt: new Date(0) }),
    );
    const [listed] = (await outbox.list(operator)).items;
    expect(listed?.text).toContain(`https://aviary.example/verify?token=${token}`);
    const sent = await settled(listed?.id ?? '');
    expect(sent).toMatchObject({ state: 'sent', attempts: 1, lastError: null });
    expect(sent.sentAt).toBeInstanceOf(Date);
    expect(smtp.received).toHaveLength(1);
    expect(smtp.received[0]).toMatchObject({ from: 'no-reply@aviary.example', to: ['ana@example.org'] });
    const body = smtp.received[0]?.body.replaceAll('=\r\n', '').replaceAll('=3D', '=') ?? '';
    expect(body).toContain(`https://aviary.example/verify?token=${token}`);
    expect(body).toMatch(/multipart\/alternative/);
    expect(body).toContain(`Message-ID: <${listed?.id}@aviary.example>`);
  });

  it('is tried again after a 4xx, and then sent', async () => {
    smtp.answers.push({ code: 451, text: 'greylisted, come back' });
    const id = await put();
    await work(delivery(smtp.url()));
    expect(await settled(id)).toMatchObject({ state: 'sent', attempts: 2, lastError: null });
    expect(smtp.received).toHaveLength(1);
  });

  it('fails for good after a 5xx, without further tries, and can be sent again by hand', async () => {
    smtp.answers.push({ code: 550, text: 'no such mailbox' });
    const id = await put();
    await work(delivery(smtp.url()));
    expect(await settled(id)).toMatchObject({ state: 'failed', attempts: 1 });
    expect((await mail(id)).lastError).toContain('no such mailbox');
    expect(smtp.attempts).toBe(1);
    await outbox.resend(operator, id);
    await expect(outbox.resend(operator, id)).rejects.toMatchObject({ code: 'WRONG_STATE' });
    expect(await settled(id)).toMatchObject({ state: 'sent' });
  });

  it('waits while the server is away, and goes once it is back', async () => {
    const away = delivery('smtp://portal:hush@127.0.0.1:1');
    const id = await put();
    await expect(away.deliver(id, { last: false })).rejects.toThrow('could not be reached');
    expect(await mail(id)).toMatchObject({ state: 'queued', attempts: 1 });
    expect((await mail(id)).lastError).not.toContain('hush');
    await delivery(smtp.url()).deliver(id, { last: false });
    expect(await mail(id)).toMatchObject({ state: 'sent', attempts: 2 });
  });

  it('is failed when the last try fails, and a refused password is not the mail’s fault', async () => {
    const id = await put();
    const wrong = delivery(smtp.url('not the password'));
    await expect(wrong.deliver(id, { last: false })).rejects.toThrow(/535/);
    expect((await mail(id)).state).toBe('queued');
    await expect(wrong.deliver(id, { last: true })).rejects.toThrow(/535/);
    expect((await mail(id)).state).toBe('failed');
  });

  it('is kept for operators where no server is set', async () => {
    const id = await put();
    await work(delivery(null));
    expect(await settled(id)).toMatchObject({ state: 'kept', attempts: 0, sentAt: null });
  });

  it('is sent once when its job runs twice', async () => {
    const id = await put();
    const made = delivery(smtp.url());
    await made.deliver(id, { last: false });
    await made.deliver(id, { last: false });
    expect(smtp.received).toHaveLength(1);
  });

  it('cannot be given a second header or recipient', async () => {
    await expect(put('ana@example.org\r\nBcc: all@example.org')).rejects.toThrow('not one plain');
    const id = await put('ana@example.org', 'Hello\r\nBcc: all@example.org\r\n\r\ninjected');
    await work(delivery(smtp.url()));
    await settled(id);
    expect(smtp.received[0]?.to).toEqual(['ana@example.org']);
    const head = smtp.received[0]?.body.split('\r\n\r\n')[0] ?? '';
    expect(head).not.toMatch(/^Bcc:/m);
    expect(head).toContain('Subject: Hello Bcc: all@example.org injected');
    // A row that somebody wrote by other means is refused when it is sent.
    const bad = await put();
    await db.dataSource.getRepository(OutboxMailEntity).update({ id: bad }, { recipient: 'a@b.example, c@d.example' });
    await expect(delivery(smtp.url()).deliver(bad, { last: false })).rejects.toThrow('not one plain');
    expect((await mail(bad)).state).toBe('failed');
  });

  it('is listed for operators page by page, and for nobody else', async () => {
    const ids = [await put(), await put(), await put()];
    const first = await outbox.list(operator, { limit: 2 });
    const second = await outbox.list(operator, { limit: 2, cursor: first.next ?? undefined });
    expect([...first.items, ...second.items].map((item) => item.id)).toEqual(ids.toReversed());
    const subscriber: Actor = {
      kind: 'subscriber',
      accountId: newId(),
      username: 'ana',
      via: 'portal',
      ip: null,
      sessionId: null,
    };
    await expect(outbox.list(subscriber)).rejects.toMatchObject({ code: 'FORBIDDEN' });
    await expect(outbox.get(subscriber, ids[0] ?? '')).rejects.toMatchObject({ code: 'FORBIDDEN' });
    await expect(outbox.get(operator, newId())).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});
