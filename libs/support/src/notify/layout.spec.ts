import { renderMail } from './layout.js';

const content = {
  subject: 'Hello',
  greeting: 'Hello <img src=x onerror=alert(1)> & "friend",',
  paragraphs: ['One.', 'Two.'],
  button: { label: 'Go', url: 'https://aviary.example/verify?token=a&b="c"' },
  notes: ['Not you?'],
  portalUrl: 'https://aviary.example',
};

it('says the same in text and HTML, and escapes what people chose themselves', () => {
  const mail = renderMail(content);
  expect(mail.text).toContain('https://aviary.example/verify?token=a&b=%22c%22');
  expect(mail.html).not.toContain('<img');
  expect(mail.html).toContain('Hello &lt;img src=x onerror=alert(1)&gt; &amp; &quot;friend&quot;,');
  expect(mail.html).toContain('href="https://aviary.example/verify?token=a&amp;b=%22c%22"');
  for (const line of ['One.', 'Two.', 'Not you?']) {
    expect(mail.text).toContain(line);
    expect(mail.html).toContain(line);
  }
});

it('links to web addresses only', () => {
  expect(() => renderMail({ ...content, button: { label: 'Go', url: 'javascript:alert(1)' } })).toThrow('web address');
});
