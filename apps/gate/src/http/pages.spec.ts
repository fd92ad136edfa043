import { pageHeaders, renderPage, standInPage } from './pages.js';
import { createHash } from 'node:crypto';

describe('a page', () => {
  it('escapes everything that is put in', () => {
    const evil = `<script>alert("1")</script>'&`;
    const html = renderPage({
      status: 200,
      title: evil,
      text: evil,
      link: { href: evil, label: evil },
      button: { action: evil, label: evil },
    });
    expect(html).not.toContain('<script');
    expect(html).not.toContain('"1"');
    expect(html.match(/&lt;script&gt;alert\(&quot;1&quot;\)&lt;\/script&gt;&#39;&amp;/g)).toHaveLength(7);
  });

  it('may show its own style and nothing else', () => {
    const style = /<style>([^<]*)<\/style>/.exec(renderPage(standInPage('asleep', 'https://portal.test')))?.[1] ?? '';
    const policy = pageHeaders('https://portal.test')['content-security-policy'] ?? '';
    expect(policy).toContain(`style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'`);
    expect(policy).toContain("default-src 'none'");
  });

  it('of a starting stack asks again by itself; others lead to the portal', () => {
    expect(renderPage(standInPage('starting', 'https://portal.test'))).toContain(
      '<meta http-equiv="refresh" content="2">',
    );
    expect(renderPage(standInPage('stopped', 'https://portal.test'))).toContain('href="https://portal.test/app"');
    expect(standInPage('constructor', 'https://portal.test').status).toBe(404);
  });
});
