import { describe, expect, it } from 'vitest';
import { linkify } from './linkify';

const links = (text: string): (string | null)[] => linkify(text).map((part) => (part.href === null ? null : part.text));

describe('links in messages', () => {
  it('are found within text that stays whole', () => {
    const text = 'see https://a.example/x?y=1#z and http://b.example.';
    expect(links(text)).toEqual([null, 'https://a.example/x?y=1#z', null, 'http://b.example', null]);
    expect(linkify(text).map((part) => part.text).join('')).toBe(text);
  });

  it('end before the punctuation of the sentence', () => {
    expect(links('(https://a.example/b) !')).toEqual([null, 'https://a.example/b', null]);
    expect(links('https://a.example/b_(c)')).toEqual(['https://a.example/b_(c)']);
  });

  it('are never anything but http', () => {
    for (const text of ['javascript:alert(1)', 'data:text/html,x', 'mailto:a@b', 'https://', '<b>https</b>']) expect(links(text)).toEqual([null]);
  });

  it('are fast on hostile text', () => {
    const text = `https://${'('.repeat(5_000)}${')'.repeat(5_000)}`;
    expect(linkify(text).map((part) => part.text).join('')).toBe(text);
  });
});
