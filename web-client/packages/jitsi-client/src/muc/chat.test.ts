import { describe, expect, it } from 'vitest';
import { ROOM, stanza } from '../testing/stanzas';
import { toElement } from '../xmpp/xml';
import { buildGroupChat, MAX_MESSAGE_LENGTH, parseRoomMessage } from './chat';

const message = (type: string, children: string, from = `${ROOM}/ef567890`): Element =>
  stanza(`<message xmlns='jabber:client' type='${type}' from='${from}' id='m1'>${children}</message>`);

describe('messages of a room', () => {
  it('reads group and private chat', () => {
    expect(parseRoomMessage(message('groupchat', '<body>a &lt;b&gt;</body>'), 5)).toEqual({
      kind: 'chat',
      message: { id: 'm1', from: 'ef567890', senderName: '', text: 'a <b>', privately: false, at: 5, history: false },
    });
    expect(parseRoomMessage(message('chat', '<body>x</body>'), 5)).toMatchObject({ message: { privately: true } });
  });

  it('marks what was said before the join', () => {
    const old = message('groupchat', "<body>x</body><delay xmlns='urn:xmpp:delay' stamp='2026-08-20T10:00:00Z'/>");
    expect(parseRoomMessage(old, 5)).toMatchObject({ message: { history: true, at: Date.UTC(2026, 7, 20, 10) } });
  });

  it('tells the subject from chat', () => {
    expect(parseRoomMessage(message('groupchat', '<subject>Weekly</subject>'), 5)).toEqual({ kind: 'subject', subject: 'Weekly' });
    expect(parseRoomMessage(message('groupchat', '<subject/>'), 5)).toEqual({ kind: 'subject', subject: '' });
  });

  it('passes over what is neither', () => {
    expect(parseRoomMessage(message('groupchat', "<json-message xmlns='http://jitsi.org/jitmeet'>{}</json-message>"), 5)).toBeNull();
    expect(parseRoomMessage(message('headline', '<body>x</body>'), 5)).toBeNull();
    expect(parseRoomMessage(message('error', '<body>x</body><error><text>no</text></error>'), 5)).toEqual({ kind: 'refused', text: 'no' });
  });

  it('bounds a message', () => {
    expect(parseRoomMessage(message('groupchat', `<body>${'x'.repeat(50_000)}</body>`), 5)).toMatchObject({ message: { text: 'x'.repeat(MAX_MESSAGE_LENGTH) } });
  });

  it('escapes what it sends', () => {
    expect(new XMLSerializer().serializeToString(toElement(buildGroupChat(ROOM, '<b>&"')))).toContain('<body>&lt;b&gt;&amp;"</body>');
  });
});
