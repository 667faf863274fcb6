/**
 * The way into a meeting as far as something holds us up: a login, a host, a lobby, a password, visitors who wait until it is live.
 *
 * Here: which gate stands there, and the lobby. Not here: connecting, asking the focus and entering (`Conference`).
 */
import { Lobby } from '../muc/Lobby';
import type { JoinError, LobbyAddress } from '../muc/Room';
import { endpointIdFor } from '../xmpp/jid';
import type { XmppConnection } from '../xmpp/XmppConnection';
import { failure, failureOfJoin, type Failure } from './failures';
import type { Gate, LoginProblem, LoginWay } from './gates';

/** How often it is looked again whether a host has come, or the meeting is live; the stock client does so for hosts. */
const LOOK_AGAIN_MS = 5_000;

/** What the entrance needs of its conference. */
export interface EntranceActions {
  readonly connection: () => XmppConnection;
  readonly hold: (gate: Gate) => void;
  /** What held us up is being dealt with. */
  readonly goOn: () => void;
  readonly enter: () => void;
  /** Enters anew after a while. */
  readonly reenter: () => void;
  readonly finish: (failure: Failure) => void;
}

export class Entrance {
  readonly #actions: EntranceActions;
  readonly #login: LoginWay;
  #gate: Gate | null = null;
  #password: string | null;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #lobbyAddress: LobbyAddress | null = null;
  #lobby: Lobby | null = null;
  #knocked = false;

  constructor(login: LoginWay, password: string | null, actions: EntranceActions) {
    this.#login = login;
    this.#password = password;
    this.#actions = actions;
  }

  /** What holds us up. */
  get gate(): Gate | null {
    return this.#gate;
  }

  /** Password of the room. */
  get password(): string | null {
    return this.#password;
  }

  hold(gate: Gate): void {
    this.#gate = gate;
    this.#actions.hold(gate);
  }

  goOn(): void {
    this.#gate = null;
    this.#actions.goOn();
  }

  /** The room is entered. */
  passed(): void {
    this.#gate = null;
    this.#knocked = false;
  }

  enterPassword(password: string): void {
    if (this.#gate?.kind !== 'password' && this.#gate?.kind !== 'lobby') return;
    this.#password = password;
    this.goOn();
    this.#actions.enter();
  }

  /** Nobody is there yet who may open the room. */
  waitForHost(problem: LoginProblem | null): void {
    this.#wait({ kind: 'host', login: this.#login, problem });
  }

  /** Visitors come in when the meeting is live. */
  waitForLive(): void {
    this.#wait({ kind: 'live' });
  }

  /** The room did not take us. */
  onJoinRefused(error: JoinError, room: string, displayName: string): void {
    if (error.kind === 'members-only' && error.lobby !== null) {
      this.#lobbyAddress = error.lobby;
      const { waitsForHost } = error.lobby;
      this.hold({ kind: 'lobby', knocked: false, waitsForHost, passwordRefused: this.#password !== null, nameMissing: false });
      if (this.#knocked) this.knock(displayName, room);
    } else if (error.kind === 'password') {
      this.hold({ kind: 'password', refused: this.#password !== null });
    } else {
      this.#actions.finish(failureOfJoin(error));
    }
  }

  /** Tells the moderators in front of whose room we stand who waits; answers whether there is a lobby to do so. */
  knock(displayName: string, room: string): boolean {
    const address = this.#lobbyAddress;
    if (this.#gate?.kind !== 'lobby' || address === null) return false;
    this.#knocked = true;
    this.#lobby ??= this.#makeLobby(address, room);
    this.#lobby.knock(displayName);
    return true;
  }

  leaveLobby(): void {
    this.#lobby?.dispose();
    this.#lobby = null;
  }

  dispose(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.leaveLobby();
  }

  #wait(gate: Gate): void {
    this.hold(gate);
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = null;
      if (this.#gate?.kind !== gate.kind) return;
      if (this.#actions.connection().state === 'online') this.#actions.enter();
      else this.#wait(this.#gate);
    }, LOOK_AGAIN_MS);
  }

  #makeLobby({ jid, waitsForHost }: LobbyAddress, room: string): Lobby {
    const connection = this.#actions.connection();
    const lobby = new Lobby(connection, jid, room, endpointIdFor(connection.jid));
    const hold = (knocked: boolean, nameMissing: boolean): void => this.hold({ kind: 'lobby', knocked, waitsForHost, passwordRefused: false, nameMissing });
    lobby.on('waiting', () => hold(true, false));
    lobby.on('nameMissing', () => {
      this.#knocked = false;
      hold(false, true);
    });
    lobby.on('admitted', (password) => {
      this.#password = password ?? this.#password;
      this.goOn();
      this.#actions.enter();
    });
    lobby.on('opened', () => {
      this.#gate = null;
      this.#actions.reenter();
    });
    lobby.on('denied', () => this.#actions.finish(failure('lobby-denied')));
    lobby.on('closed', (reason) => this.#actions.finish(failure('destroyed', reason)));
    return lobby;
  }
}
