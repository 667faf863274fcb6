/**
 * A meeting from the first click to the last: connection, conference request, room, media session and own devices put together
 * (order of a join: protocol/client.md §10.3).
 *
 * Here: the order, and what a change in one part means for another. Not here: any protocol of the parts, any user interface.
 */
import type { BridgeChannel } from '../bridge/BridgeChannel';
import type { BridgeMessage, ReceiverConstraints } from '../bridge/messages';
import { roomJid, withQuery } from '../config';
import { Emitter } from '../events';
import {
  buildConferenceIq,
  conferenceErrorFrom,
  ConferenceRequestError,
  parseConferenceIq,
  requestByHttp,
  REQUEST_TIMEOUT_MS,
  untilReady,
  type ConferenceReply,
  type ConferenceRequest,
} from '../focus/conferenceRequest';
import { JingleSessions } from '../jingle/JingleSessions';
import type { MediaKind } from '../jingle/model';
import { chooseCodec, receivableCodecs } from '../media/codecs';
import { NO_LIMIT } from '../media/encodings';
import { LocalMedia } from '../media/LocalMedia';
import type { RemoteTrack } from '../media/MediaSession';
import type { OwnPresence } from '../muc/presence';
import { Lobby } from '../muc/Lobby';
import { JoinError, Room, type LobbyAddress } from '../muc/Room';
import { sourceName, type SourceState } from '../muc/sourceInfo';
import { answerDisco, capsElement } from '../xmpp/disco';
import { StanzaError } from '../xmpp/errors';
import { endpointIdFor } from '../xmpp/jid';
import type { Account } from '../xmpp/stream';
import { extdiscoRequest, parseIceServers } from '../xmpp/extdisco';
import { StropheStreams } from '../xmpp/StropheStream';
import { attr, type XmlNode } from '../xmpp/xml';
import { XmppConnection, type ConnectionEnd } from '../xmpp/XmppConnection';
import { failure, failureOfConnection, failureOfEnd, failureOfJoin, failureOfRequest, type Failure } from './failures';
import { loginProblem, type Gate, type LoginProblem, type LoginWay } from './gates';
import { logInAsHost } from './hostLogin';
import { readMuteRequest, readStartMuted } from './moderation';
import { localParticipant, remoteParticipant, type Participant } from './participants';
import type { ConferenceEvents, ConferenceOptions, ConferenceState } from './types';

/** Entering anew after the session or the focus was lost, without success in between. */
const MAX_REENTRIES = 5;
const REENTRY_DELAY_MS = 1_000;
/** How often who waits for a host asks whether one has come, as the stock client does. */
const HOST_INTERVAL_MS = 5_000;
/** With others in the room the focus invites within a moment; after this long without a session people should know. */
const NO_SESSION_MS = 5_000;

export class Conference extends Emitter<ConferenceEvents> {
  readonly #options: ConferenceOptions;
  #connection: XmppConnection;
  readonly #media: LocalMedia;
  readonly #roomJid: string;
  readonly #detach: (() => void)[] = [];
  readonly #detachConnection: (() => void)[] = [];
  #state: ConferenceState = { name: 'new' };
  #displayName: string;
  /** What the focus knows our login by. */
  #sessionId: string | null;
  #password: string | null;
  /** Whom the connection logs in as. */
  #account: Account | null = null;
  /** What holds us up until the room is entered. */
  #gate: Gate | null = null;
  #hostTimer: ReturnType<typeof setTimeout> | null = null;
  #lobbyAddress: LobbyAddress | null = null;
  #lobby: Lobby | null = null;
  #knocked = false;
  #room: Room | null = null;
  #jingle: JingleSessions | null = null;
  #iceServers: readonly RTCIceServer[] = [];
  #tracks: ReadonlyMap<string, RemoteTrack> = new Map();
  #forwarded: ReadonlySet<string> | null = null;
  #speaker: string | null = null;
  #constraints: ReceiverConstraints | null = null;
  #entry = 0;
  #reentries = 0;
  /** The room has to be entered anew as soon as the delay is over and the server is there. */
  #entryDue = false;
  #startMuted: Partial<Record<MediaKind, boolean>> = {};
  /** Sources are announced once the focus knows them (§5.3). */
  #sourcesKnown = false;
  #raisedHand: number | null = null;
  #publishing = false;
  #sessionTimer: ReturnType<typeof setTimeout> | null = null;

  constructor(options: ConferenceOptions) {
    super();
    const { config } = options;
    this.#options = options;
    this.#media = options.media;
    this.#displayName = options.displayName;
    this.#roomJid = roomJid(options.room, config.muc);
    this.#sessionId = options.sessionId ?? null;
    this.#password = options.password ?? null;
    this.#connection = this.#makeConnection(null);
  }

  get state(): ConferenceState {
    return this.#state;
  }

  /** Own endpoint id; empty before the room was entered. */
  get id(): string {
    return this.#room?.id ?? '';
  }

  get moderator(): boolean {
    return this.#room?.moderator ?? false;
  }

  /** Enters. Progress and failure come as states. */
  join(): void {
    if (this.#state.name !== 'new') return;
    this.#setState({ name: 'joining' });
    this.#detach.push(this.#media.on('changed', (media) => this.#onMediaChanged(media)));
    this.#connect();
  }

  /** Answers `login` and `host` gates. */
  logIn(name: string, password: string): void {
    const gate = this.#gate;
    const domain = this.#options.config.passwordDomain ?? this.#options.config.accountDomain;
    const account = { jid: name.includes('@') ? name : `${name}@${domain}`, password };
    if (gate?.kind === 'login') {
      this.#goOn();
      this.#account = account;
      this.#connection = this.#makeConnection(account);
      this.#connect();
    } else if (gate?.kind === 'host') {
      void this.#becomeHost(account);
    }
  }

  /** Answers `password` and `lobby` gates. */
  enterPassword(password: string): void {
    if (this.#gate?.kind !== 'password' && this.#gate?.kind !== 'lobby') return;
    this.#password = password;
    this.#goOn();
    void this.#enter();
  }

  /** Answers the `lobby` gate: moderators are told that somebody of this name waits. */
  knock(displayName: string): void {
    const address = this.#lobbyAddress;
    if (this.#gate?.kind !== 'lobby' || address === null) return;
    this.#displayName = displayName;
    this.#knocked = true;
    this.#lobby ??= this.#makeLobby(address);
    this.#lobby.knock(displayName);
  }

  /** Leaves for good; settles when the server knows. */
  async leave(): Promise<void> {
    if (this.#state.name === 'ended') return;
    this.#entry += 1;
    this.#jingle?.dispose();
    if (this.#connection.state === 'online') await this.#room?.leave();
    this.#finish(null);
  }

  /** Leaves without waiting, for the moment when the page goes away. */
  leaveNow(): void {
    this.#entry += 1;
    this.#room?.leaveNow();
    this.#finish(null);
  }

  setDisplayName(name: string): void {
    this.#displayName = name;
    this.#room?.update({ displayName: name });
    this.#publish();
  }

  setRaisedHand(raised: boolean): void {
    this.#raisedHand = raised ? Date.now() : null;
    this.#room?.update({ raisedHand: this.#raisedHand });
    this.#publish();
  }

  sendChat(text: string): void {
    this.#room?.sendChat(text);
  }

  sendPrivateChat(to: string, text: string): void {
    this.#room?.sendPrivateChat(to, text);
  }

  setSubject(subject: string): void {
    this.#room?.setSubject(subject);
  }

  /** What the layout shows: largest useful height of each video source by name. Anything else may come small. */
  setLayout(heights: ReadonlyMap<string, number>, onStage: readonly string[], defaultMaxHeight: number): void {
    this.#constraints = { lastN: this.#options.config.lastN, onStage, selected: [], defaultMaxHeight, maxHeights: heights };
    this.#jingle?.channel?.setReceiverConstraints(this.#constraints);
  }

  /** All requests and joins of one entry; a later one makes an earlier one stop. */
  async #enter(): Promise<void> {
    this.#entry += 1;
    const entry = this.#entry;
    this.#entryDue = false;
    const stale = (): boolean => entry !== this.#entry || this.#state.name === 'ended';
    this.#leaveRoom();
    void this.#fetchIceServers();
    try {
      const caps = await capsElement();
      const reply = await this.#requestConference();
      if (stale()) return;
      const room = this.#makeRoom(caps);
      if (reply.focusJid !== null) room.trustFocus(reply.focusJid);
      if (this.#options.config.focusUserJid !== null) room.trustFocus(this.#options.config.focusUserJid);
      this.#jingle = this.#makeJingle(room);
      await room.join({
        password: this.#password,
        billingId: this.#options.config.conferenceRequestUrl === null ? null : this.#options.machineUid,
      });
      if (stale()) return;
      this.#reentries = 0;
      this.#gate = null;
      this.#knocked = false;
      await this.#obeyStartMuted();
      this.#setState({ name: 'joined' });
      this.#expectSession();
      this.#publish();
    } catch (error) {
      if (stale()) return;
      if (error instanceof JoinError) {
        this.#onJoinRefused(error);
      } else {
        const known = error instanceof ConferenceRequestError ? error : conferenceErrorFrom(error);
        if (known.kind === 'not-authorized') this.#waitForHost(this.#gate?.kind === 'host' ? this.#gate.problem : null);
        else this.#finish(failureOfRequest(known));
      }
    }
  }

  async #requestConference(): Promise<ConferenceReply> {
    const url = this.#options.config.conferenceRequestUrl;
    const reply = await untilReady(this.#conferenceRequest(), async (current) =>
      url === null
        ? parseConferenceIq(await this.#connection.request(buildConferenceIq(this.#options.config.focus, current), REQUEST_TIMEOUT_MS))
        : requestByHttp(withQuery(url, { room: this.#options.room }), current),
    );
    this.#rememberSession(reply.sessionId);
    return reply;
  }

  #conferenceRequest(): ConferenceRequest {
    const { config, machineUid } = this.#options;
    return { room: this.#roomJid, machineUid, sessionId: this.#sessionId, token: config.token };
  }

  #rememberSession(id: string | null): void {
    if (id === this.#sessionId) return;
    this.#sessionId = id;
    this.emit('sessionId', id);
  }

  #makeConnection(account: Account | null): XmppConnection {
    const { config, room, streams } = this.#options;
    const url = withQuery(config.websocket, { room, ...(config.token === null ? {} : { token: config.token }) });
    const domain = account === null ? config.domain : config.accountDomain;
    return new XmppConnection({ url, domain, account, pingIntervalMs: config.pingIntervalMs }, streams ?? new StropheStreams(config.resume));
  }

  /** Starts the connection, in the place of one that is over. */
  #connect(): void {
    const connection = this.#connection;
    for (const detach of this.#detachConnection.splice(0)) detach();
    this.#detachConnection.push(
      connection.on('session', () => void this.#enter()),
      connection.on('interrupted', () => this.#setState({ name: 'reconnecting', part: 'signaling' })),
      connection.on('resumed', () => this.#onResumed()),
      connection.on('closed', (end) => this.#onConnectionClosed(end)),
      connection.on('message', (stanza) => this.#onComponentMessage(stanza)),
      connection.handleRequests((iq) => answerDisco(iq)),
      connection.handleRequests((iq) => this.#jingle?.handleIq(iq) ?? null),
      connection.handleRequests((iq) => this.#onMuteIq(iq)),
    );
    connection.start();
  }

  #onConnectionClosed(end: ConnectionEnd): void {
    if (end.reason === 'refused' && this.#account !== null) this.#hold({ kind: 'login', problem: loginProblem(end.condition) });
    else if (end.reason === 'login-needed' && this.#loginWay() === 'password') this.#hold({ kind: 'login', problem: null });
    else this.#finish(failureOfConnection(end, this.#options.config.token));
  }

  #loginWay(): LoginWay {
    const { tokenUrl, passwordDomain } = this.#options.config;
    return tokenUrl !== null ? 'page' : passwordDomain !== null ? 'password' : 'none';
  }

  #hold(gate: Gate): void {
    this.#gate = gate;
    this.#setState({ name: 'held', gate });
  }

  /** What held us up is being dealt with. */
  #goOn(): void {
    this.#gate = null;
    this.#setState({ name: 'joining' });
  }

  #waitForHost(problem: LoginProblem | null): void {
    this.#hold({ kind: 'host', login: this.#loginWay(), problem });
    if (this.#hostTimer !== null) clearTimeout(this.#hostTimer);
    this.#hostTimer = setTimeout(() => {
      this.#hostTimer = null;
      if (this.#gate?.kind !== 'host') return;
      if (this.#connection.state === 'online') void this.#enter();
      else this.#waitForHost(this.#gate.problem);
    }, HOST_INTERVAL_MS);
  }

  async #becomeHost(account: Account): Promise<void> {
    const entry = this.#entry;
    this.#goOn();
    const request = { ...this.#conferenceRequest(), sessionId: null };
    const login = await logInAsHost(this.#makeConnection(account), this.#options.config.focus, request);
    if (entry !== this.#entry) return;
    if (login.kind === 'in') {
      this.#rememberSession(login.sessionId);
      void this.#enter();
    } else {
      this.#waitForHost(login.problem);
    }
  }

  #onJoinRefused(error: JoinError): void {
    if (error.kind === 'members-only' && error.lobby !== null) {
      this.#lobbyAddress = error.lobby;
      const { waitsForHost } = error.lobby;
      this.#hold({ kind: 'lobby', knocked: false, waitsForHost, passwordRefused: this.#password !== null, nameMissing: false });
      if (this.#knocked) this.knock(this.#displayName);
    } else if (error.kind === 'password') {
      this.#hold({ kind: 'password', refused: this.#password !== null });
    } else {
      this.#finish(failureOfJoin(error));
    }
  }

  #makeLobby({ jid, waitsForHost }: LobbyAddress): Lobby {
    const lobby = new Lobby(this.#connection, jid, this.#roomJid, endpointIdFor(this.#connection.jid));
    const hold = (knocked: boolean, nameMissing: boolean): void => this.#hold({ kind: 'lobby', knocked, waitsForHost, passwordRefused: false, nameMissing });
    lobby.on('waiting', () => hold(true, false));
    lobby.on('nameMissing', () => {
      this.#knocked = false;
      hold(false, true);
    });
    lobby.on('admitted', (password) => {
      this.#password = password ?? this.#password;
      this.#goOn();
      void this.#enter();
    });
    lobby.on('opened', () => {
      this.#gate = null;
      this.#reenter();
    });
    lobby.on('denied', () => this.#finish(failure('lobby-denied')));
    lobby.on('closed', (reason) => this.#finish(failure('destroyed', reason)));
    return lobby;
  }

  async #fetchIceServers(): Promise<void> {
    try {
      this.#iceServers = parseIceServers(await this.#connection.request(extdiscoRequest(this.#connection.domain)));
    } catch (error) {
      if (!(error instanceof StanzaError)) throw error; // No TURN to be had: the offer's candidates must do.
    }
  }

  #makeRoom(caps: XmlNode | null): Room {
    const own: OwnPresence = {
      displayName: this.#displayName,
      statsId: `Teranga-${this.#options.machineUid.slice(0, 3)}`,
      sources: new Map(),
      codecs: receivableCodecs(),
      raisedHand: this.#raisedHand,
      caps,
    };
    const room = new Room(this.#connection, this.#roomJid, own);
    this.#room = room;
    const changed = (): void => {
      this.#updateCodec();
      this.#publish();
    };
    room.on('occupantJoined', () => {
      this.#expectSession();
      changed();
    });
    room.on('occupantChanged', changed);
    room.on('occupantLeft', (id) => {
      this.#jingle?.removeOwner(id);
      if (this.#speaker === id) this.#setSpeaker(null);
      // Alone there is nobody to hear or to see.
      if (room.occupants.size === 0) this.#mediaIsBack();
      changed();
    });
    room.on('bridgeAvailable', (available) => this.emit('bridgeAvailable', available));
    room.on('role', () => this.#publish());
    room.on('chat', (message) => this.emit('chat', message));
    room.on('subject', (subject) => this.emit('subject', subject));
    room.on('messageRefused', (text) => this.emit('messageRefused', text));
    room.on('ended', (ended) => this.#finish(failureOfEnd(ended, (id) => room.occupants.get(id)?.displayName ?? '')));
    room.on('focusLeft', () => this.#reenter());
    return room;
  }

  #makeJingle(room: Room): JingleSessions {
    const { config } = this.#options;
    const servers = (): readonly RTCIceServer[] => this.#iceServers;
    const jingle = new JingleSessions({
      get iceServers() {
        return servers(); // As known when the session begins, not when the room was entered.
      },
      forceTurnRelay: config.forceTurnRelay,
      endpoint: room.id,
      focusJid: `${room.jid}/focus`,
      responder: this.#connection.jid,
      preferSctp: config.preferSctp,
      iceRestart: config.iceRestart,
      ignoreBridgeDomain: config.ignoreBridgeDomain,
      request: (iq) => this.#connection.request(iq),
      tracks: () => ({ audio: this.#media.sendable('audio'), video: this.#media.sendable('video') }),
      chooseCodec: (offered) => this.#codecFor(offered),
    });
    jingle.on('tracks', (tracks) => {
      this.#tracks = tracks;
      this.#publish();
    });
    jingle.on('channel', (channel) => this.#onChannel(channel));
    jingle.on('started', () => {
      this.#sourcesKnown = true;
      this.#announceSources();
    });
    jingle.on('state', (state) => {
      if (state === 'connected') this.#mediaIsBack();
      if ((state === 'failed' || state === 'disconnected') && this.#state.name === 'joined') this.#setState({ name: 'reconnecting', part: 'media' });
    });
    jingle.on('terminated', () => {
      this.#forwarded = null;
      this.#setSpeaker(null);
      this.#expectSession();
    });
    jingle.on('failed', (reason) => this.#finish(failure(reason === 'ice' ? 'media-blocked' : 'media-failed')));
    return jingle;
  }

  /** Notices when the focus does not invite although there is somebody to talk to. */
  #expectSession(): void {
    if (this.#sessionTimer !== null) return;
    this.#sessionTimer = setTimeout(() => {
      this.#sessionTimer = null;
      const waiting = this.#state.name === 'joined' && this.#jingle?.media === null && (this.#room?.occupants.size ?? 0) > 0;
      if (waiting) this.#setState({ name: 'reconnecting', part: 'media' });
    }, NO_SESSION_MS);
  }

  #mediaIsBack(): void {
    if (this.#state.name === 'reconnecting' && this.#state.part === 'media') this.#setState({ name: 'joined' });
  }

  #onChannel(channel: BridgeChannel): void {
    this.#forwarded = null;
    channel.on('message', (message) => {
      if (this.#jingle?.channel === channel) this.#onBridgeMessage(message);
    });
    if (this.#constraints) channel.setReceiverConstraints(this.#constraints);
    channel.setVideoType(sourceName(this.id, 'video'), this.#media.isMuted('video') ? 'none' : 'camera');
  }

  #onBridgeMessage(message: BridgeMessage): void {
    switch (message.kind) {
      case 'forwarded-sources':
        this.#forwarded = new Set(message.sources);
        this.#publish();
        break;
      case 'dominant-speaker':
        this.#setSpeaker(message.silence ? null : message.endpoint);
        break;
      case 'sender-constraints':
        if (message.source === sourceName(this.id, 'video')) this.#jingle?.media?.setMaxHeight(message.maxHeight);
        break;
      case 'endpoint-message':
        this.#onEndpointMessage(message.from, message.payload);
        break;
      case 'hello':
        // A bridge that starts over has no wishes yet.
        this.#jingle?.media?.setMaxHeight(NO_LIMIT);
        break;
      case 'connection-stats':
      case 'other':
        break;
    }
  }

  #onEndpointMessage(from: string, payload: Readonly<Record<string, unknown>>): void {
    const sender = this.#room?.occupants.get(from);
    if (!sender) return;
    if (payload['name'] === 'lower-hand-message' && sender.moderator) this.setRaisedHand(false);
    this.emit('endpointMessage', from, payload);
  }

  /** Only the policy at the time of the join concerns us. */
  #onComponentMessage(stanza: Element): void {
    if (!this.#room?.joined) this.#startMuted = readStartMuted(stanza) ?? this.#startMuted;
  }

  async #obeyStartMuted(): Promise<void> {
    const policy = this.#startMuted;
    this.#startMuted = {};
    for (const media of ['audio', 'video'] as const) if (policy[media]) await this.#media.setMuted(media, true);
  }

  #onMuteIq(iq: Element): true | null {
    const request = readMuteRequest(iq);
    if (!request || !this.#room?.isFocus(attr(iq, 'from') ?? '')) return null;
    if (request.muted && !this.#media.isMuted(request.media)) {
      void this.#media.setMuted(request.media, true);
      this.emit('mutedBy', request.media, this.#room.occupants.get(request.actor)?.displayName ?? '');
    }
    return true;
  }

  #onMediaChanged(media: MediaKind): void {
    const track = this.#media.sendable(media);
    this.#jingle?.media?.setTrack(media, track).catch(() => undefined); // Closed meanwhile: the next session asks for the tracks.
    if (media === 'video') this.#jingle?.channel?.setVideoType(sourceName(this.id, 'video'), track ? 'camera' : 'none');
    this.#announceSources();
    this.#publish();
  }

  #announceSources(): void {
    if (!this.#sourcesKnown || !this.#room) return;
    const { id } = this.#room;
    const sources = new Map<string, SourceState>(
      (['audio', 'video'] as const).map((media) => [sourceName(id, media), { muted: this.#media.isMuted(media), desktop: false }]),
    );
    this.#room.update({ sources });
  }

  #codecFor(offered: readonly string[]): string | null {
    const others = Array.from(this.#room?.occupants.values() ?? [], (occupant) => occupant.codecs);
    return chooseCodec(offered, receivableCodecs(), others);
  }

  #updateCodec(): void {
    const session = this.#jingle?.media;
    if (session) session.setCodec(this.#codecFor(session.offeredVideoCodecs));
  }

  #onResumed(): void {
    if (this.#entryDue) {
      void this.#enterAgain();
    } else if (this.#state.name === 'reconnecting' && this.#state.part === 'signaling') {
      const media = this.#jingle?.media?.peer.connectionState;
      if (this.#gate !== null) this.#hold(this.#gate);
      else if (!this.#room?.joined) this.#setState({ name: 'joining' });
      else if (media === 'failed' || media === 'disconnected') this.#setState({ name: 'reconnecting', part: 'media' });
      else this.#setState({ name: 'joined' });
      this.#expectSession();
    }
  }

  #reenter(): void {
    this.#reentries += 1;
    if (this.#reentries > MAX_REENTRIES) {
      this.#finish(failure('conference-failed'));
      return;
    }
    this.#setState({ name: 'reconnecting', part: 'signaling' });
    this.#jingle?.dispose();
    const entry = this.#entry;
    setTimeout(() => {
      if (entry !== this.#entry || this.#state.name === 'ended') return;
      this.#entryDue = true;
      if (this.#connection.state === 'online') void this.#enterAgain();
    }, REENTRY_DELAY_MS * this.#reentries);
  }

  async #enterAgain(): Promise<void> {
    const entry = this.#entry;
    this.#entryDue = false;
    await this.#room?.leave();
    if (entry === this.#entry) await this.#enter();
  }

  #leaveRoom(): void {
    if (this.#sessionTimer !== null) clearTimeout(this.#sessionTimer);
    this.#sessionTimer = null;
    this.#jingle?.dispose();
    this.#jingle = null;
    this.#lobby?.dispose();
    this.#lobby = null;
    this.#room?.dispose();
    this.#room = null;
    this.#tracks = new Map();
    this.#forwarded = null;
    this.#sourcesKnown = false;
    this.#setSpeaker(null);
    this.#publish();
  }

  #finish(reason: Failure | null): void {
    if (this.#state.name === 'ended') return;
    this.#setState({ name: 'ended', failure: reason });
    this.#entry += 1;
    if (this.#hostTimer !== null) clearTimeout(this.#hostTimer);
    this.#leaveRoom();
    this.#connection.stop();
    for (const detach of [...this.#detach.splice(0), ...this.#detachConnection.splice(0)]) detach();
  }

  #setSpeaker(id: string | null): void {
    if (this.#speaker === id) return;
    this.#speaker = id;
    this.emit('speaker', id);
  }

  #setState(state: ConferenceState): void {
    if (this.#state.name === 'ended') return;
    this.#state = state;
    this.emit('state', state);
  }

  /** Tells the participants, at most once a turn of the event loop. */
  #publish(): void {
    if (this.#publishing) return;
    this.#publishing = true;
    queueMicrotask(() => {
      this.#publishing = false;
      this.emit('participants', this.#participants());
    });
  }

  #participants(): Participant[] {
    const room = this.#room;
    const self = localParticipant(room?.id ?? '', this.#displayName, room?.moderator ?? false, this.#raisedHand, this.#media);
    const others = Array.from(room?.occupants.values() ?? [], (occupant) => remoteParticipant(occupant, this.#tracks, this.#forwarded));
    return [self, ...others];
  }
}
