/**
 * One room as this client sees it: joining, who is there, leaving, chat (XEP-0045 with Jitsi's extensions).
 *
 * Here: the occupants and the order of a join. Not here: reading presence (`presence`), media, what follows from being removed.
 */
import { Emitter } from '../events';
import { bareJid, endpointIdFor, resourceOf } from '../xmpp/jid';
import { StanzaError } from '../xmpp/errors';
import { NS } from '../xmpp/ns';
import { attr, child, children, childText, x, type XmlNode } from '../xmpp/xml';
import type { XmppConnection } from '../xmpp/XmppConnection';
import { buildGroupChat, buildPrivateChat, buildSubject, parseRoomMessage, type ChatMessage } from './chat';
import { buildPresence, parseMucPresence, type Ended, type JoinExtras, type MucPresence, type Occupant, type OwnPresence } from './presence';

export type JoinErrorKind =
  | 'password'
  | 'members-only'
  | 'full'
  | 'name-required'
  /** Visitors come in when a moderator lets them. */
  | 'promotion-not-allowed'
  /** The meeting is not live yet. */
  | 'not-live'
  /** There are no visitors while a lobby is on. */
  | 'no-visitors'
  | 'not-allowed'
  | 'no-answer'
  | 'other';

/** The lobby that the error of a join names (protocol/client.md §5.5). */
export interface LobbyAddress {
  readonly jid: string;
  /** Nobody is there yet who could let anybody in. */
  readonly waitsForHost: boolean;
}

export class JoinError extends Error {
  constructor(
    readonly kind: JoinErrorKind,
    readonly text: string = '',
    /** Where moderators let people in, for `members-only`. */
    readonly lobby: LobbyAddress | null = null,
  ) {
    super(text === '' ? kind : `${kind}: ${text}`);
    this.name = 'JoinError';
  }
}

export type RoomEvents = {
  occupantJoined: [occupant: Occupant];
  occupantChanged: [occupant: Occupant];
  occupantLeft: [id: string];
  chat: [message: ChatMessage];
  subject: [subject: string];
  messageRefused: [text: string];
  /** The role of this client changed. */
  role: [moderator: boolean];
  /** Removed from the room, or the room is no more. */
  ended: [ended: Ended];
  /** What the focus says of the conference, all of it each time. */
  properties: [properties: ReadonlyMap<string, string>];
  /** The focus found a bridge for the room, or found none. */
  bridgeAvailable: [available: boolean];
  /** The focus went away: the conference is over until it is requested again. */
  focusLeft: [];
};

/** Occupants kept; beyond it newcomers have no tile, and a room of that size is not for this protocol. */
const MAX_OCCUPANTS = 2_000;
const JOIN_TIMEOUT_MS = 20_000;
const LEAVE_TIMEOUT_MS = 5_000;
/** Joins that raced the focus: tries and mean delay between them. */
const JOIN_TRIES = 3;
const JOIN_RETRY_MS = 1_000;

export class Room extends Emitter<RoomEvents> {
  readonly jid: string;
  /** Own nick and endpoint id. */
  readonly id: string;
  readonly #connection: XmppConnection;
  readonly #focusJids = new Set<string>();
  readonly #occupants = new Map<string, Occupant>();
  readonly #detach: (() => void)[] = [];
  #own: OwnPresence;
  #joined = false;
  #moderator = false;
  #focusHere = false;
  #waiting: ((presence: MucPresence) => void) | null = null;

  constructor(connection: XmppConnection, jid: string, own: OwnPresence) {
    super();
    this.jid = jid;
    this.id = endpointIdFor(connection.jid);
    this.#connection = connection;
    this.#own = own;
    this.#detach.push(
      connection.on('presence', (stanza) => this.#onPresence(stanza)),
      connection.on('message', (stanza) => this.#onMessage(stanza)),
    );
  }

  get occupants(): ReadonlyMap<string, Occupant> {
    return this.#occupants;
  }

  get joined(): boolean {
    return this.#joined;
  }

  get moderator(): boolean {
    return this.#moderator;
  }

  get own(): OwnPresence {
    return this.#own;
  }

  get occupantJid(): string {
    return `${this.jid}/${this.id}`;
  }

  /** Adds a bare JID whose occupant is the focus. */
  trustFocus(jid: string): void {
    this.#focusJids.add(bareJid(jid));
  }

  /** Whether this occupant JID is the focus's. */
  isFocus(occupantJid: string): boolean {
    return this.#focusHere && occupantJid === `${this.jid}/focus`;
  }

  /** Enters the room; settles when the own presence came back. Rejects with `JoinError`. */
  async join(extras: JoinExtras): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      const answer = await this.#exchange(buildPresence(this.occupantJid, this.#own, extras), JOIN_TIMEOUT_MS);
      if (answer === null) throw new JoinError('no-answer');
      if (answer.kind === 'available') return;
      if (answer.kind === 'unavailable') throw new JoinError('other', 'unavailable');
      if (!isRace(answer.error) || tries === JOIN_TRIES) throw joinErrorFrom(answer.error);
      await sleep(JOIN_RETRY_MS * (0.5 + Math.random()));
    }
  }

  /** Leaves; settles when the room confirmed it, or after a while. */
  async leave(): Promise<void> {
    if (!this.#joined) return;
    this.#joined = false;
    await this.#exchange(this.#goodbye(), LEAVE_TIMEOUT_MS);
  }

  /** Leaves without waiting for the confirmation. */
  leaveNow(): void {
    if (!this.#joined) return;
    this.#joined = false;
    this.#connection.send(this.#goodbye());
  }

  /** Changes what this client says about itself. */
  update(change: Partial<OwnPresence>): void {
    this.#own = { ...this.#own, ...change };
    if (this.#joined) this.#connection.send(buildPresence(this.occupantJid, this.#own, null));
  }

  sendChat(text: string): void {
    this.#connection.send(buildGroupChat(this.jid, text));
  }

  sendPrivateChat(to: string, text: string): void {
    this.#connection.send(buildPrivateChat(`${this.jid}/${to}`, text));
  }

  setSubject(subject: string): void {
    this.#connection.send(buildSubject(this.jid, subject));
  }

  /** Stops listening; the room is of no further use. */
  dispose(): void {
    for (const detach of this.#detach) detach();
    this.#joined = false;
    this.#waiting = null;
  }

  #goodbye(): XmlNode {
    return x('presence', { to: this.occupantJid, type: 'unavailable' });
  }

  /** Sends a presence and waits for the answer that concerns ourselves. */
  #exchange(stanza: XmlNode, timeoutMs: number): Promise<MucPresence | null> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => settle(null), timeoutMs);
      const settle = (presence: MucPresence | null): void => {
        clearTimeout(timer);
        this.#waiting = null;
        resolve(presence);
      };
      this.#waiting = settle;
      this.#connection.send(stanza);
    });
  }

  #onPresence(stanza: Element): void {
    if (bareJid(attr(stanza, 'from') ?? '') !== this.jid) return;
    const presence = parseMucPresence(stanza);
    if (presence === null) return;
    const id = presence.kind === 'available' ? presence.occupant.id : presence.id;
    if (id === this.id) this.#onOwnPresence(presence);
    else if (presence.kind === 'available') this.#onAvailable(presence.occupant, presence.stanza);
    else if (presence.kind === 'unavailable') this.#onUnavailable(id);
  }

  #onOwnPresence(presence: MucPresence): void {
    if (presence.kind === 'available') {
      this.#joined = true;
      if (this.#moderator !== presence.occupant.moderator) {
        this.#moderator = presence.occupant.moderator;
        this.emit('role', this.#moderator);
      }
    } else if (presence.kind === 'unavailable') {
      const wasJoined = this.#joined;
      this.#joined = false;
      if (presence.ended && wasJoined) this.emit('ended', presence.ended);
      else if (wasJoined) this.emit('ended', { kind: 'destroyed', reason: '', alternate: '' });
    }
    this.#waiting?.(presence);
  }

  #onAvailable(occupant: Occupant, stanza: Element): void {
    if (this.#looksLikeFocus(occupant)) {
      this.#focusHere = true;
      this.emit('bridgeAvailable', child(stanza, 'bridgeNotAvailable') === null);
      this.emit('properties', propertiesIn(stanza));
      return;
    }
    const known = this.#occupants.has(occupant.id);
    if (!known && this.#occupants.size >= MAX_OCCUPANTS) return;
    this.#occupants.set(occupant.id, occupant);
    this.emit(known ? 'occupantChanged' : 'occupantJoined', occupant);
  }

  #looksLikeFocus(occupant: Occupant): boolean {
    return occupant.id === 'focus' && (this.#focusJids.size === 0 || this.#focusJids.has(bareJid(occupant.realJid)));
  }

  #onUnavailable(id: string): void {
    if (id === 'focus' && this.#focusHere) {
      this.#focusHere = false;
      if (this.#joined) this.emit('focusLeft');
      return;
    }
    // A destroyed room says so in the presence to ourselves as well; for another occupant it is one more leave.
    if (this.#occupants.delete(id)) this.emit('occupantLeft', id);
  }

  #onMessage(stanza: Element): void {
    if (bareJid(attr(stanza, 'from') ?? '') !== this.jid) return;
    const message = parseRoomMessage(stanza, Date.now());
    if (message === null) return;
    if (message.kind === 'subject') this.emit('subject', message.subject);
    else if (message.kind === 'refused') this.emit('messageRefused', message.text);
    else if (message.message.from !== 'focus' || !this.#focusHere) this.emit('chat', message.message);
  }
}

/** The properties of the conference in a presence of the focus; none where it says nothing of them. */
function propertiesIn(stanza: Element): ReadonlyMap<string, string> {
  const properties = children(child(stanza, 'conference-properties'), 'property');
  return new Map(properties.map((property) => [attr(property, 'key') ?? '', attr(property, 'value') ?? '']));
}

/** The room was asked for before the focus had made it (protocol/client.md §5.5). */
function isRace(error: StanzaError): boolean {
  return child(error.element, 'room-does-not-exist') !== null || (error.condition === 'not-allowed' && error.text === 'Room creation is restricted');
}

/** Elements of the errors about visitors (protocol/client.md §5.5). */
const VISITOR_REFUSALS: readonly (readonly [string, JoinErrorKind])[] = [
  ['promotion-not-allowed', 'promotion-not-allowed'],
  ['no-main-participants', 'promotion-not-allowed'],
  ['not-live-room', 'not-live'],
  ['no-visitors-lobby', 'no-visitors'],
];

/** Reads a refused join. */
export function joinErrorFrom(error: StanzaError): JoinError {
  if (child(error.element, 'displayname-required')) return new JoinError('name-required', error.text);
  for (const [marker, kind] of VISITOR_REFUSALS) if (child(error.element, marker, NS.VISITORS)) return new JoinError(kind, error.text);
  switch (error.condition) {
    case 'not-authorized':
      return new JoinError('password', error.text);
    case 'registration-required':
      return new JoinError('members-only', error.text, lobbyOf(error));
    case 'service-unavailable':
      return new JoinError('full', error.text);
    case 'not-allowed':
    case 'forbidden':
      return new JoinError('not-allowed', error.text);
    default:
      return new JoinError('other', error.message);
  }
}

function lobbyOf(error: StanzaError): LobbyAddress | null {
  const jid = childText(error.element, 'lobbyroom');
  return jid ? { jid, waitsForHost: child(error.element, 'waiting-for-host') !== null } : null;
}

/** The endpoint id in an occupant JID of this room, empty for a JID of another room. */
export function endpointOf(occupantJid: string, room: string): string {
  return bareJid(occupantJid) === room ? resourceOf(occupantJid) : '';
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
