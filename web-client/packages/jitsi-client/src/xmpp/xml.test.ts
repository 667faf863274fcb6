import { describe, expect, it } from 'vitest';
import { attr, child, intAttr, parseXml, toElement, x } from './xml';

const text = (element: Element): string => new XMLSerializer().serializeToString(element);

describe('xml', () => {
  it('writes each namespace as a literal xmlns attribute', () => {
    const iq = x('iq', { xmlns: 'jabber:client', type: 'get' }, x('query', { xmlns: 'http://jabber.org/protocol/disco#info' }, x('item')));
    expect(text(toElement(iq))).toBe('<iq xmlns="jabber:client" type="get"><query xmlns="http://jabber.org/protocol/disco#info"><item/></query></iq>');
  });

  it('leaves out absent attributes and children', () => {
    expect(text(toElement(x('a', { b: null, c: undefined, d: 0 }, null, false, undefined, [x('e'), 'f'])))).toBe('<a d="0"><e/>f</a>');
  });

  it('drops characters that would end the stream', () => {
    const body = toElement(x('body', {}, 'a\u0000b\u000bc\ud800d😀\u{1F600}'));
    expect(body.textContent).toBe('abcd😀\u{1F600}');
    expect(parseXml(text(body))?.textContent).toBe('abcd😀\u{1F600}');
  });

  it('finds children by local name and namespace', () => {
    const parent = parseXml("<p xmlns='jabber:client'><x xmlns='one'/><x xmlns='two' n='2'/></p>");
    expect(attr(child(parent, 'x', 'two'), 'n')).toBe('2');
    expect(child(parent, 'x', 'three')).toBeNull();
  });

  it('answers null for what is not well-formed', () => {
    expect(parseXml('<a><b></a>')).toBeNull();
  });

  it('takes integers within bounds only', () => {
    const element = parseXml("<a ok='7' big='999' text='7x' float='1.5' neg='-1'/>");
    expect(['ok', 'big', 'text', 'float', 'neg', 'none'].map((name) => intAttr(element, name, 0, 100))).toEqual([7, null, null, null, null, null]);
  });
});
