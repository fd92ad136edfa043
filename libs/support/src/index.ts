export * from './account-mails.js';
export * from './mail-delivery.js';
export { MailSender, MailSendError } from './notify/mail-sender.js';
export * from './outbox.service.js';
export * from './stack-mails.js';
