/**
 * A meeting from the first click to the last: connection, conference request, room, media session and own devices put together
 * (order of a join: protocol/client.md §10.3).
 *
 * Here: the order, and what a change in one part means for another. Not here: any protocol of the parts, any user interface.
 */
import type { ReceiverConstraints } from '../bridge/messages';
import { roomJid, withQuery } from '../config';
import { Emitter } from '../events';
import {
  buildConferenceIq,
  conferenceErrorFrom,
  ConferenceRequestError,
  isNotLive,
  parseConferenceIq,
  requestByHttp,
  REQUEST_TIMEOUT_MS,
  untilReady,
  type ConferenceReply,
  type ConferenceRequest,
} from '../focus/conferenceRequest';
import type { MediaKind } from '../jingle/model';
import { receivableCodecs } from '../media/codecs';
import { LocalMedia } from '../media/LocalMedia';
import type { OwnPresence } from '../muc/presence';
import { JoinError, Room } from '../muc/Room';
import { answerDisco, capsElement } from '../xmpp/disco';
import { StanzaError } from '../xmpp/errors';
import type { Account } from '../xmpp/stream';
import { extdiscoRequest, parseIceServers } from '../xmpp/extdisco';
import { StropheStreams } from '../xmpp/StropheStream';
import { attr, type XmlNode } from '../xmpp/xml';
import { XmppConnection, type ConnectionEnd } from '../xmpp/XmppConnection';
import { readComponentMessage } from './components';
import { Entrance } from './Entrance';
import { failure, failureOfConnection, failureOfEnd, failureOfRequest, type Failure } from './failures';
import { loginProblem, loginWayOf } from './gates';
import { logInAsHost } from './hostLogin';
import { readMuteRequest, readStartMuted } from './moderation';
import { localParticipant, remoteParticipant, type Participant } from './participants';
import { RoomMedia } from './RoomMedia';
import { placeOf, type Route } from './route';
import type { ConferenceEvents, ConferenceOptions, ConferenceState } from './types';
import { readPromotion, Visitors, type VisitorsState } from './visitors';

/** Entering anew after the session or the focus was lost, without success in between. */
const MAX_REENTRIES = 5;
const REENTRY_DELAY_MS = 1_000;
/** With others in the room the focus invites within a moment; after this long without a session people should know. */
const NO_SESSION_MS = 5_000;

export class Conference extends Emitter<ConferenceEvents> {
  readonly #options: ConferenceOptions;
  #connection: XmppConnection;
  readonly #media: LocalMedia;
  readonly #detach: (() => void)[] = [];
  readonly #detachConnection: (() => void)[] = [];
  #state: ConferenceState = { name: 'new' };
  #displayName: string;
  /** What the focus knows our login by. */
  #sessionId: string | null;
  /** Whom the connection logs in as. */
  #account: Account | null = null;
  readonly #entrance: Entrance;
  readonly #visitors = new Visitors();
  /** Where the connection leads to. */
  #route: Route = { kind: 'main' };
  /** To watch only, where that can be. */
  #watch: boolean;
  #room: Room | null = null;
  /** Media of this visit to the room. */
  #visit: RoomMedia | null = null;
  #iceServers: readonly RTCIceServer[] = [];
  #constraints: ReceiverConstraints | null = null;
  #entry = 0;
  #reentries = 0;
  /** The room has to be entered anew as soon as the delay is over and the server is there. */
  #entryDue = false;
  #startMuted: Partial<Record<MediaKind, boolean>> = {};
  #raisedHand: number | null = null;
  #publishing = false;
  #sessionTimer: ReturnType<typeof setTimeout> | null = null;
  /** The focus would send us among the visitors. */
  #mayWatch = false;
  /** Whether we only watched when we were in last. */
  #wasWatching = false;

  constructor(options: ConferenceOptions) {
    super();
    const { config } = options;
    this.#options = options;
    this.#media = options.media;
    this.#displayName = options.displayName;
    this.#sessionId = options.sessionId ?? null;
    this.#watch = config.preferVisitor;
    this.#entrance = new Entrance(loginWayOf(config), options.password ?? null, {
      connection: () => this.#connection,
      hold: (gate) => this.#setState({ name: 'held', gate }),
      goOn: () => this.#setState({ name: 'joining' }),
      enter: () => void this.#enter(),
      reenter: () => this.#reenter(),
      finish: (reason) => this.#finish(reason),
    });
    this.#visitors.on('changed', (state) => this.emit('visitors', state));
    this.#visitors.on('demoted', () => this.#onDemoted());
    this.#connection = this.#makeConnection();
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

  /** Whether we only watch. */
  get watching(): boolean {
    return this.#route.kind === 'visitor';
  }

  get visitors(): VisitorsState {
    return this.#visitors.state;
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
    const gate = this.#entrance.gate;
    const domain = this.#options.config.passwordDomain ?? this.#options.config.accountDomain;
    const account = { jid: name.includes('@') ? name : `${name}@${domain}`, password };
    if (gate?.kind === 'login') {
      this.#entrance.goOn();
      this.#account = account;
      this.#connection = this.#makeConnection();
      this.#connect();
    } else if (gate?.kind === 'host') {
      void this.#becomeHost(account);
    }
  }

  /** Answers `password` and `lobby` gates. */
  enterPassword(password: string): void {
    this.#entrance.enterPassword(password);
  }

  /** Answers the `lobby` gate: moderators are told that somebody of this name waits. */
  knock(displayName: string): void {
    if (this.#entrance.knock(displayName, this.#roomJid)) this.#displayName = displayName;
  }

  /** Leaves for good; settles when the server knows. */
  async leave(): Promise<void> {
    if (this.#state.name === 'ended') return;
    this.#entry += 1;
    this.#visit?.dispose();
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

  /** Lets visitors who ask come in, or not; for moderators. `ids` are theirs of `VisitorsState.requests`. */
  answerVisitors(ids: readonly string[], approved: boolean): void {
    if (this.#room) this.#connection.send(this.#visitors.answer(this.#room.jid, ids, approved));
  }

  /** Has visitors come in who wait until the meeting is live; for moderators. */
  goLive(): void {
    const request = this.#room && this.#visitors.goLive(this.#room.jid);
    if (request) this.#connection.send(request);
  }

  /** What the layout shows: largest useful height of each video source by name. Anything else may come small. */
  setLayout(heights: ReadonlyMap<string, number>, onStage: readonly string[], defaultMaxHeight: number): void {
    this.#constraints = { lastN: this.#options.config.lastN, onStage, selected: [], defaultMaxHeight, maxHeights: heights };
    this.#visit?.setConstraints(this.#constraints);
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
      const focusJid = this.#route.kind === 'main' ? await this.#findConference(stale) : this.#route.focusJid;
      if (stale()) return;
      const room = this.#makeRoom(caps);
      if (focusJid !== null) room.trustFocus(focusJid);
      if (this.#options.config.focusUserJid !== null) room.trustFocus(this.#options.config.focusUserJid);
      this.#visit = this.#makeMedia(room);
      await room.join({
        password: this.#entrance.password,
        billingId: this.#options.config.conferenceRequestUrl === null ? null : this.#options.machineUid,
      });
      if (stale()) return;
      this.#reentries = 0;
      this.#entrance.passed();
      // From now on the focus is asked again: the user name has served.
      if (this.#route.kind === 'promoted') this.#route = { kind: 'main' };
      await this.#obeyStartMuted();
      if (this.watching !== this.#wasWatching) this.emit('watching', this.watching);
      this.#wasWatching = this.watching;
      this.#setState({ name: 'joined' });
      this.#expectSession();
      this.#publish();
    } catch (error) {
      if (stale()) return;
      if (error instanceof JoinError && error.kind === 'full' && this.#route.kind === 'main' && this.#mayWatch && !this.#watch) {
        this.#watch = true;
        void this.#enter();
      } else if (error instanceof JoinError) {
        this.#entrance.onJoinRefused(error, this.#roomJid, this.#displayName);
      } else {
        const known = error instanceof ConferenceRequestError ? error : conferenceErrorFrom(error);
        if (known.kind === 'not-authorized') this.#entrance.waitForHost(this.#entrance.gate?.kind === 'host' ? this.#entrance.gate.problem : null);
        else this.#finish(failureOfRequest(known));
      }
    }
  }

  /** The room in which we are, or want to be. */
  get #roomJid(): string {
    const { config, room } = this.#options;
    return roomJid(room, placeOf(this.#route, config, room, this.#account).muc);
  }

  /** Asks the focus. Answers its address; when the conference is not to be entered here, this entry is stale then. */
  async #findConference(stale: () => boolean): Promise<string | null> {
    const reply = await this.#requestConference();
    if (stale()) return null;
    this.#mayWatch = reply.properties.get('visitors-supported') === 'true';
    if (isNotLive(reply)) {
      this.#entry += 1;
      this.#entrance.waitForLive();
    } else if (reply.vnode !== null) {
      void this.#moveTo({ kind: 'visitor', vnode: reply.vnode, focusJid: reply.focusJid });
    }
    return reply.focusJid;
  }

  /** Goes on elsewhere, under another address. */
  async #moveTo(route: Route): Promise<void> {
    this.#entry += 1;
    const entry = this.#entry;
    this.#setState({ name: 'joining' });
    this.#visit?.dispose();
    if (this.#connection.state === 'online') await this.#room?.leave();
    if (entry !== this.#entry) return;
    const former = this.#connection;
    this.#route = route;
    this.#raisedHand = null;
    this.#connection = this.#makeConnection();
    this.#connect();
    former.stop();
    if (!this.watching) return;
    // Devices are for those who take part, and are off when somebody comes to do so.
    for (const media of ['audio', 'video'] as const) void this.#media.setMuted(media, true);
    this.#media.close();
  }

  #onDemoted(): void {
    this.#watch = true;
    this.emit('demoted');
    void this.#moveTo({ kind: 'main' });
  }

  #onPromotionIq(iq: Element): true | null {
    const promotion = this.#route.kind === 'visitor' && this.#room ? readPromotion(iq, this.#room.jid) : null;
    if (!promotion) return null;
    if (promotion.username === null) {
      this.setRaisedHand(false);
      this.emit('promotionRefused');
    } else {
      this.#watch = false;
      void this.#moveTo({ kind: 'promoted', username: promotion.username, focusJid: promotion.focusJid });
    }
    return true;
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
    return { room: this.#roomJid, machineUid, sessionId: this.#sessionId, token: config.token, watch: this.#watch };
  }

  #rememberSession(id: string | null): void {
    if (id === this.#sessionId) return;
    this.#sessionId = id;
    this.emit('sessionId', id);
  }

  /** A connection to where the route leads; nodes are for those without an account. */
  #makeConnection(login: Account | null = this.#account): XmppConnection {
    const { config, room, streams } = this.#options;
    const account = this.watching ? null : login;
    const { url, domain } = placeOf(this.#route, config, room, account);
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
      connection.handleRequests((iq) => this.#visit?.handleIq(iq) ?? null),
      connection.handleRequests((iq) => this.#onMuteIq(iq)),
      connection.handleRequests((iq) => this.#onPromotionIq(iq)),
    );
    connection.start();
  }

  #onConnectionClosed(end: ConnectionEnd): void {
    if (end.reason === 'refused' && this.#account !== null) this.#entrance.hold({ kind: 'login', problem: loginProblem(end.condition) });
    else if (end.reason === 'login-needed' && loginWayOf(this.#options.config) === 'password') this.#entrance.hold({ kind: 'login', problem: null });
    else this.#finish(failureOfConnection(end, this.#options.config.token));
  }

  async #becomeHost(account: Account): Promise<void> {
    const entry = this.#entry;
    this.#entrance.goOn();
    const request = { ...this.#conferenceRequest(), sessionId: null };
    const login = await logInAsHost(this.#makeConnection(account), this.#options.config.focus, request);
    if (entry !== this.#entry) return;
    if (login.kind === 'in') {
      this.#rememberSession(login.sessionId);
      void this.#enter();
    } else {
      this.#entrance.waitForHost(login.problem);
    }
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
      this.#visit?.onOccupantsChanged();
      this.#publish();
    };
    room.on('occupantJoined', () => {
      this.#expectSession();
      changed();
    });
    room.on('occupantChanged', changed);
    room.on('occupantLeft', (id) => {
      this.#visit?.onOccupantLeft(id);
      // Alone there is nobody to hear or to see.
      if (room.occupants.size === 0) this.#mediaIsBack();
      changed();
    });
    room.on('bridgeAvailable', (available) => this.emit('bridgeAvailable', available));
    room.on('properties', (properties) => this.#visitors.handleProperties(properties));
    room.on('role', () => this.#publish());
    room.on('chat', (message) => this.emit('chat', message));
    room.on('subject', (subject) => this.emit('subject', subject));
    room.on('messageRefused', (text) => this.emit('messageRefused', text));
    room.on('ended', (ended) => this.#finish(failureOfEnd(ended, (id) => room.occupants.get(id)?.displayName ?? '')));
    room.on('focusLeft', () => this.#reenter());
    return room;
  }

  #makeMedia(room: Room): RoomMedia {
    const { config, media: local } = this.#options;
    const media = new RoomMedia({ config, connection: this.#connection, room, local, watching: this.watching, iceServers: () => this.#iceServers });
    if (this.#constraints) media.setConstraints(this.#constraints);
    media.on('changed', () => this.#publish());
    media.on('speaker', (id) => this.emit('speaker', id));
    media.on('endpointMessage', (from, payload) => this.#onEndpointMessage(from, payload));
    media.on('connected', () => this.#mediaIsBack());
    media.on('interrupted', () => this.#state.name === 'joined' && this.#setState({ name: 'reconnecting', part: 'media' }));
    media.on('terminated', () => this.#expectSession());
    media.on('failed', (reason) => this.#finish(failure(reason === 'ice' ? 'media-blocked' : 'media-failed')));
    return media;
  }

  /** Notices when the focus does not invite although there is somebody to talk to. */
  #expectSession(): void {
    if (this.#sessionTimer !== null) return;
    this.#sessionTimer = setTimeout(() => {
      this.#sessionTimer = null;
      const waiting = this.#state.name === 'joined' && this.#visit?.state === null && (this.#room?.occupants.size ?? 0) > 0;
      if (waiting) this.#setState({ name: 'reconnecting', part: 'media' });
    }, NO_SESSION_MS);
  }

  #mediaIsBack(): void {
    if (this.#state.name === 'reconnecting' && this.#state.part === 'media') this.#setState({ name: 'joined' });
  }

  #onEndpointMessage(from: string, payload: Readonly<Record<string, unknown>>): void {
    const sender = this.#room?.occupants.get(from);
    if (!sender) return;
    if (payload['name'] === 'lower-hand-message' && sender.moderator) this.setRaisedHand(false);
    this.emit('endpointMessage', from, payload);
  }

  #onComponentMessage(stanza: Element): void {
    const message = readComponentMessage(stanza);
    if (!message) return;
    // Only the policy at the time of the join concerns us.
    if (!this.#room?.joined) this.#startMuted = readStartMuted(message) ?? this.#startMuted;
    this.#visitors.handleMessage(message, this.id);
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
    this.#visit?.onLocalChanged(media);
    this.#publish();
  }

  #onResumed(): void {
    if (this.#entryDue) {
      void this.#enterAgain();
    } else if (this.#state.name === 'reconnecting' && this.#state.part === 'signaling') {
      const media = this.#visit?.state;
      if (this.#entrance.gate !== null) this.#entrance.hold(this.#entrance.gate);
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
    this.#visit?.dispose();
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
    if (entry !== this.#entry) return;
    // The room of a node is found by asking for the conference.
    if (this.#route.kind === 'main') await this.#enter();
    else await this.#moveTo({ kind: 'main' });
  }

  #leaveRoom(): void {
    if (this.#sessionTimer !== null) clearTimeout(this.#sessionTimer);
    this.#sessionTimer = null;
    this.#visit?.dispose();
    this.#visit = null;
    this.#entrance.leaveLobby();
    this.#visitors.reset();
    this.#room?.dispose();
    this.#room = null;
    this.#publish();
  }

  #finish(reason: Failure | null): void {
    if (this.#state.name === 'ended') return;
    this.#setState({ name: 'ended', failure: reason });
    this.#entry += 1;
    this.#entrance.dispose();
    this.#leaveRoom();
    this.#connection.stop();
    for (const detach of [...this.#detach.splice(0), ...this.#detachConnection.splice(0)]) detach();
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
    const others = Array.from(room?.occupants.values() ?? [], (occupant) => remoteParticipant(occupant, this.#visit?.tracks ?? new Map(), this.#visit?.forwarded ?? null));
    return [self, ...others];
  }
}
