export * from './account-mails.js';
export * from './alarm-acknowledge.js';
export * from './alarm-mails.js';
export * from './domain-mails.js';
export * from './mail-delivery.js';
export * from './outbox.service.js';
export * from './stack-mails.js';
export { MailSender } from './notify/mail-sender.js';
