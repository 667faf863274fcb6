/**
 * The lobby of a room: where people wait until a moderator lets them in (protocol/client.md §6.1, `mod_muc_lobby_rooms`).
 *
 * Here: knocking, and what comes of it. Not here: the moderators' side, the room itself.
 */
import { Emitter } from '../events';
import { bareJid } from '../xmpp/jid';
import { NS } from '../xmpp/ns';
import { attr, child, childText, x } from '../xmpp/xml';
import type { XmppConnection } from '../xmpp/XmppConnection';
import { parseMucPresence } from './presence';

export type LobbyEvents = {
  /** The moderators see us. */
  waiting: [];
  /** A moderator lets us in, with the password of the room if it has one. */
  admitted: [password: string | null];
  /** There is no lobby any more: the room itself may be tried. */
  opened: [];
  denied: [];
  /** The meeting is over. */
  closed: [reason: string];
  nameMissing: [];
};

export class Lobby extends Emitter<LobbyEvents> {
  readonly #jid: string;
  readonly #room: string;
  readonly #nick: string;
  readonly #connection: XmppConnection;
  readonly #detach: (() => void)[] = [];
  #present = false;

  /** `jid` is the lobby of the room `room`, `nick` the own endpoint id. */
  constructor(connection: XmppConnection, jid: string, room: string, nick: string) {
    super();
    this.#jid = jid;
    this.#room = room;
    this.#nick = nick;
    this.#connection = connection;
    this.#detach.push(
      connection.on('presence', (stanza) => this.#onPresence(stanza)),
      connection.on('message', (stanza) => this.#onMessage(stanza)),
    );
  }

  /** Shows the moderators who waits; again under another name. */
  knock(displayName: string): void {
    const nick = displayName === '' ? null : x('nick', { xmlns: NS.NICK }, displayName);
    this.#connection.send(x('presence', { xmlns: NS.CLIENT, to: this.#occupantJid }, x('x', { xmlns: NS.MUC }), nick));
  }

  /** Goes away, and listens no more. */
  dispose(): void {
    for (const detach of this.#detach) detach();
    if (this.#present) this.#connection.send(x('presence', { xmlns: NS.CLIENT, to: this.#occupantJid, type: 'unavailable' }));
    this.#present = false;
  }

  get #occupantJid(): string {
    return `${this.#jid}/${this.#nick}`;
  }

  #onPresence(stanza: Element): void {
    if (attr(stanza, 'from') !== this.#occupantJid) return;
    const presence = parseMucPresence(stanza);
    if (presence === null) return;
    switch (presence.kind) {
      case 'available':
        this.#present = true;
        this.emit('waiting');
        break;
      case 'unavailable':
        this.#present = false;
        if (presence.ended?.kind === 'kicked') this.emit('denied');
        else if (presence.ended?.kind === 'destroyed' && presence.ended.alternate === this.#room) this.emit('opened');
        else this.emit('closed', presence.ended?.reason ?? '');
        break;
      case 'error':
        if (child(presence.error.element, 'displayname-required')) this.emit('nameMissing');
        else this.emit('opened'); // The lobby is gone, or was never there: what the room says counts.
        break;
    }
  }

  #onMessage(stanza: Element): void {
    if (bareJid(attr(stanza, 'from') ?? '') !== this.#room) return;
    const user = child(stanza, 'x', NS.MUC_USER);
    if (child(user, 'invite')) this.emit('admitted', childText(user, 'password'));
  }
}
