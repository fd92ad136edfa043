import type { AccountMails } from '#libs/accounts';
import type { Tx } from '#libs/db';
import { renderMail } from './notify/layout.js';
import type { OutboxService } from './outbox.service.js';

/** The mails about accounts, in words. `portalUrl` is an origin such as `https://aviary.example`. */
export class PortalAccountMails implements AccountMails {
  constructor(
    private readonly outbox: OutboxService,
    private readonly portalUrl: string,
  ) {}

  async addressTaken(inTx: Tx, mail: { to: string; username: string }): Promise<void> {
    await this.outbox.put(
      inTx,
      mail.to,
      renderMail({
        subject: 'You already have an Aviary account',
        greeting: `Hello ${mail.username},`,
        paragraphs: [
          `somebody, perhaps you, signed up with this address just now. It has an account already: ${mail.username}. Sign in to that one; nothing about it was changed.`,
        ],
        button: { label: 'Sign in', url: `${this.portalUrl}/login` },
        notes: [
          'You do not know the password any more? Ask those who run this portal; they can help the owner of this address.',
          'It was not you? Then do nothing: the sign-up leads nowhere without a link, and none was sent.',
        ],
        portalUrl: this.portalUrl,
      }),
    );
  }

  async verifyEmail(inTx: Tx, mail: { to: string; username: string; token: string; expiresAt: Date }): Promise<void> {
    const url = `${this.portalUrl}/verify?token=${mail.token}`;
    const until = `${mail.expiresAt.toISOString().slice(0, 16).replace('T', ' ')} UTC`;
    await this.outbox.put(
      inTx,
      mail.to,
      renderMail({
        subject: 'Confirm your e-mail address for Aviary',
        greeting: `Hello ${mail.username},`,
        paragraphs: [
          'one click is left: confirm that this address is yours, and your account is open. Your seven trial days begin at that moment.',
        ],
        button: { label: 'Confirm my address', url },
        notes: [
          `The link works once, until ${until}. After that, ask for a new one on the sign-in page.`,
          'You did not sign up? Then do nothing: without the click no account is opened.',
        ],
        portalUrl: this.portalUrl,
      }),
    );
  }
}
