import { createTransport, type Transporter } from 'nodemailer';
import { safeRecipient, safeSubject } from './address.js';

export interface OutgoingMail {
  id: string;
  recipient: string;
  subject: string;
  text: string;
  html: string;
}

/** `permanent` failures (an SMTP 5xx, a recipient that is no address) are not worth another try (RFC 5321 §4.2.1). */
export class MailSendError extends Error {
  constructor(
    message: string,
    readonly permanent: boolean,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'MailSendError';
  }
}

/** Sends through one SMTP server. Its errors carry the server's words and never the URL, which holds a password. */
export class MailSender {
  private readonly transport: Transporter;
  private readonly domain: string;

  constructor(
    smtpUrl: string,
    private readonly from: string,
  ) {
    this.transport = createTransport({
      url: smtpUrl,
      // A server that accepts and then says nothing must not hold a worker for nodemailer's ten minutes.
      connectionTimeout: 15_000,
      greetingTimeout: 15_000,
      socketTimeout: 30_000,
      disableFileAccess: true,
      disableUrlAccess: true,
    });
    this.domain = /@([A-Za-z0-9.-]+)>?\s*$/.exec(from)?.[1] ?? 'aviary.localhost';
  }

  async send(mail: OutgoingMail): Promise<void> {
    let to: string;
    try {
      to = safeRecipient(mail.recipient);
    } catch (cause) {
      throw new MailSendError('The recipient is not one plain e-mail address', true, { cause });
    }
    try {
      await this.transport.sendMail({
        from: this.from,
        // As an object nodemailer does not parse it for further addresses.
        to: { name: '', address: to },
        subject: safeSubject(mail.subject),
        text: mail.text,
        html: mail.html,
        // The same for every try, so that a mail sent twice after a lost answer is seen as one.
        messageId: `<${mail.id}@${this.domain}>`,
        headers: { 'Auto-Submitted': 'auto-generated' },
      });
    } catch (cause) {
      throw toSendError(cause);
    }
  }

  close(): void {
    this.transport.close();
  }
}

function toSendError(cause: unknown): MailSendError {
  const { responseCode, response, code } = cause as { responseCode?: number; response?: string; code?: string };
  if (responseCode !== undefined) {
    // A refused password (535) is the operator's to mend, and then the mail can go: not the mail's own failure.
    const permanent = responseCode >= 500 && code !== 'EAUTH';
    return new MailSendError(`The mail server answered ${response ?? String(responseCode)}`.slice(0, 500), permanent, {
      cause,
    });
  }
  return new MailSendError(`The mail server could not be reached (${code ?? 'unknown'})`, false, { cause });
}
