/** Chat: messages of the room and between two occupants (protocol/client.md §5.8). */
import { NS } from '../xmpp/ns';
import { resourceOf } from '../xmpp/jid';
import { attr, child, childText, x, type XmlNode } from '../xmpp/xml';
import { cleanName } from './presence';

/** Characters kept of one message. */
export const MAX_MESSAGE_LENGTH = 10_000;

export interface ChatMessage {
  /** Server-assigned id of a room message; empty when there is none. */
  readonly id: string;
  /** Endpoint id of the sender; empty when the room itself speaks. */
  readonly from: string;
  /** Name given in the message for a sender who is no occupant; else empty. */
  readonly senderName: string;
  readonly text: string;
  readonly privately: boolean;
  /** When it was sent, ms since the epoch. */
  readonly at: number;
  /** Replayed from before the join. */
  readonly history: boolean;
}

export type RoomMessage =
  | { readonly kind: 'chat'; readonly message: ChatMessage }
  | { readonly kind: 'subject'; readonly subject: string }
  /** The server refused a message of ours. */
  | { readonly kind: 'refused'; readonly text: string }
  | null;

/** Reads a message whose bare `from` is the room; `now` is used where the message has no time stamp. */
export function parseRoomMessage(stanza: Element, now: number): RoomMessage {
  const type = attr(stanza, 'type');
  const from = resourceOf(attr(stanza, 'from') ?? '');
  if (type === 'error') return { kind: 'refused', text: childText(child(stanza, 'error'), 'text') ?? '' };
  if (type !== 'groupchat' && type !== 'chat') return null;

  const body = childText(stanza, 'body');
  const subject = childText(stanza, 'subject');
  if (subject !== null && body === null) return type === 'groupchat' ? { kind: 'subject', subject: cleanName(subject) } : null;
  if (body === null || body === '') return null;

  const delay = child(stanza, 'delay', NS.DELAY);
  const stamp = Date.parse(attr(delay, 'stamp') ?? '');
  return {
    kind: 'chat',
    message: {
      id: attr(stanza, 'id') ?? '',
      from,
      senderName: cleanName(childText(stanza, 'display-name') ?? ''),
      text: body.slice(0, MAX_MESSAGE_LENGTH),
      privately: type === 'chat',
      at: Number.isNaN(stamp) ? now : stamp,
      history: delay !== null,
    },
  };
}

export function buildGroupChat(room: string, text: string): XmlNode {
  return x('message', { xmlns: NS.CLIENT, to: room, type: 'groupchat' }, x('body', {}, text));
}

export function buildPrivateChat(occupantJid: string, text: string): XmlNode {
  return x('message', { xmlns: NS.CLIENT, to: occupantJid, type: 'chat' }, x('body', {}, text));
}

export function buildSubject(room: string, subject: string): XmlNode {
  return x('message', { xmlns: NS.CLIENT, to: room, type: 'groupchat' }, x('subject', {}, subject));
}
