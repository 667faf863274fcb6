/** Presence of occupants, read and written (protocol/client.md §5.2, §5.4–5.6). */
import { NS } from '../xmpp/ns';
import { parseStanzaError, type StanzaError } from '../xmpp/errors';
import { resourceOf } from '../xmpp/jid';
import { attr, child, children, childText, x, type XmlNode } from '../xmpp/xml';
import { formatSourceInfo, parseSourceInfo, type SourceState } from './sourceInfo';

/** Names are cut for display; the wire may carry anything. */
export const MAX_NAME_LENGTH = 80;

export interface Occupant {
  /** Resource of the occupant JID: nick and endpoint id. */
  readonly id: string;
  readonly occupantJid: string;
  /** Real full JID; everybody sees it in these rooms. */
  readonly realJid: string;
  /** Empty when the person gave no name. */
  readonly displayName: string;
  readonly moderator: boolean;
  readonly sources: ReadonlyMap<string, SourceState>;
  /** When the hand went up (ms), `null` when it is down. */
  readonly raisedHand: number | null;
  /** Codecs it can receive, best first; empty = it did not say. */
  readonly codecs: readonly string[];
}

export type MucPresence =
  | { readonly kind: 'available'; readonly occupant: Occupant; readonly statuses: ReadonlySet<number>; readonly stanza: Element }
  | { readonly kind: 'unavailable'; readonly id: string; readonly statuses: ReadonlySet<number>; readonly ended: Ended | null }
  | { readonly kind: 'error'; readonly id: string; readonly error: StanzaError };

/** Why an occupant is gone other than by leaving. */
export type Ended =
  | { readonly kind: 'kicked'; readonly actor: string; readonly reason: string }
  /** `alternate` is the room to go to instead, empty when there is none. */
  | { readonly kind: 'destroyed'; readonly reason: string; readonly alternate: string };

/** Reads a presence from a room; `null` for what a client has to ignore (no `x` or no `item`). */
export function parseMucPresence(stanza: Element): MucPresence | null {
  const from = attr(stanza, 'from') ?? '';
  const id = resourceOf(from);
  if (id === '') return null;
  const type = attr(stanza, 'type');
  if (type === 'error') return { kind: 'error', id, error: parseStanzaError(stanza) };

  const user = child(stanza, 'x', NS.MUC_USER);
  const statuses = new Set(children(user, 'status').map((status) => Number(attr(status, 'code'))));
  if (type === 'unavailable') {
    if (child(stanza, 'ignore')) return null;
    return { kind: 'unavailable', id, statuses, ended: parseEnded(user, statuses) };
  }
  const item = child(user, 'item');
  if (type !== null || !item) return null;
  return {
    kind: 'available',
    statuses,
    stanza,
    occupant: {
      id,
      occupantJid: from,
      realJid: attr(item, 'jid') ?? '',
      displayName: cleanName(childText(stanza, 'nick') ?? ''),
      moderator: attr(item, 'role') === 'moderator',
      sources: parseSourceInfo(childText(stanza, 'SourceInfo'), id),
      raisedHand: parseHand(childText(stanza, 'jitsi_participant_raisedHand')),
      codecs: parseCodecs(childText(stanza, 'jitsi_participant_codecList')),
    },
  };
}

function parseEnded(user: Element | null, statuses: ReadonlySet<number>): Ended | null {
  const destroy = child(user, 'destroy');
  if (destroy) return { kind: 'destroyed', reason: childText(destroy, 'reason') ?? '', alternate: attr(destroy, 'jid') ?? '' };
  if (!statuses.has(307) && !statuses.has(301)) return null;
  const item = child(user, 'item');
  return { kind: 'kicked', actor: attr(child(item, 'actor'), 'nick') ?? '', reason: childText(item, 'reason') ?? '' };
}

/** One line, no control characters, bounded. */
export function cleanName(name: string): string {
  return Array.from(name.normalize('NFC').replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, (run) => (run.includes('\u200d') ? '\u200d' : ' ')).trim())
    .slice(0, MAX_NAME_LENGTH)
    .join('');
}

function parseHand(text: string | null): number | null {
  const value = Number(text);
  return text !== null && text !== '' && Number.isFinite(value) && value > 0 ? value : null;
}

function parseCodecs(text: string | null): string[] {
  return (text ?? '')
    .split(',', 16)
    .map((codec) => codec.trim().toLowerCase())
    .filter(Boolean);
}

/** What this client says about itself; each presence repeats the whole set. */
export interface OwnPresence {
  readonly displayName: string;
  readonly statsId: string;
  readonly sources: ReadonlyMap<string, SourceState>;
  readonly codecs: readonly string[];
  readonly raisedHand: number | null;
  readonly caps: XmlNode | null;
}

export interface JoinExtras {
  readonly password: string | null;
  /** `machineUid` of an HTTP conference request. */
  readonly billingId: string | null;
}

/** A presence to the room: with `join` the request to enter, else an update. */
export function buildPresence(to: string, own: OwnPresence, join: JoinExtras | null): XmlNode {
  return x(
    'presence',
    { xmlns: NS.CLIENT, to },
    join && x('x', { xmlns: NS.MUC }, join.password === null ? null : x('password', {}, join.password), join.billingId === null ? null : x('billingid', {}, join.billingId)),
    x('stats-id', {}, own.statsId),
    own.caps,
    x('SourceInfo', {}, formatSourceInfo(own.sources)),
    x('jitsi_participant_codecList', {}, own.codecs.join(',')),
    own.raisedHand === null ? null : x('jitsi_participant_raisedHand', {}, String(own.raisedHand)),
    own.displayName === '' ? null : x('nick', { xmlns: NS.NICK }, own.displayName),
  );
}
