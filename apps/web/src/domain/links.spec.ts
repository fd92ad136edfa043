import { splitLinks } from './links.js';

describe('splitLinks', () => {
  it('finds addresses and leaves the sentence its stops', () => {
    expect(splitLinks('Confirm: https://aviary.example/verify?token=a_B-9.\nBye')).toEqual([
      { kind: 'text', text: 'Confirm: ' },
      { kind: 'link', text: 'https://aviary.example/verify?token=a_B-9' },
      { kind: 'text', text: '.\nBye' },
    ]);
  });
  it('makes no link of anything else', () => {
    expect(splitLinks('javascript:alert(1) ftp://x mail@example.org')).toHaveLength(1);
    expect(splitLinks('')).toEqual([]);
  });
  it('loses no character', () => {
    const text = 'a https://b.example/(c) d http://e.example, f';
    expect(
      splitLinks(text)
        .map((part) => part.text)
        .join(''),
    ).toBe(text);
  });
});
